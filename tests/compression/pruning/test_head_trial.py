"""Which attention lets whole heads be taken out."""

import timm
import torch
import torchvision
from torch import nn

from compression.pruning.head_trial import prunable_heads


class Tokens(nn.Module):
    """N x 3 x 8 x 8 -> N x 4, through a module that maps tokens to tokens."""

    def __init__(self, middle: nn.Module) -> None:
        super().__init__()
        self.patch, self.middle, self.out = nn.Conv2d(3, 12, 2, 2), middle, nn.Linear(12, 4)

    def forward(self, x):
        return self.out(self.middle(self.patch(x).flatten(2).transpose(1, 2)).mean(1))


class Own(nn.Module):
    """Three heads of four channels each, in the order that `layout` says."""

    def __init__(self, layout: str = "three heads width", bias: bool = False) -> None:
        super().__init__()
        self.num_heads, self.head_dim, self.layout = 3, 4, layout
        self.qkv, self.proj = nn.Linear(12, 36), nn.Linear(12, 12)
        self.bias = nn.Parameter(torch.randn(16, 16, 3)) if bias else None

    def forward(self, x):
        n, t, _ = x.shape
        sizes = {"three": 3, "heads": self.num_heads, "width": self.head_dim}
        names = self.layout.split()
        qkv = self.qkv(x).reshape(n, t, *(sizes[name] for name in names))
        at = [2 + names.index(name) for name in ("three", "heads", "width")]
        q, k, v = qkv.permute(at[0], 0, at[1], 1, at[2])
        scores = q @ k.transpose(-1, -2) / 2
        if self.bias is not None:
            scores = scores + self.bias.permute(2, 0, 1)
        y = scores.softmax(-1) @ v
        return x + self.proj(y.transpose(1, 2).flatten(2))


class FixedWidth(Own):
    """Where the result is as wide as the tokens, whatever heads there are."""

    def forward(self, x):
        n, t, c = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        y = (q @ k.transpose(-1, -2)).softmax(-1) @ v
        return x + self.proj(y.transpose(1, 2).reshape(n, t, c))


class SharedBias(Own):
    """A bias by head that is no parameter: it would have to be cut as well."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = torch.randn(16, 16, 3)


class Cross(nn.Module):
    def __init__(self, **settings) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(12, 3, batch_first=True, **settings)

    def forward(self, x):
        return x + self.attention(x, x * 2, x)[0]


def found(middle: nn.Module) -> list[str]:
    torch.manual_seed(0)
    return prunable_heads(Tokens(middle).eval(), (8, 8))


def test_heads_of_networks():
    vit = timm.models.VisionTransformer(
        img_size=16, patch_size=8, embed_dim=12, depth=2, num_heads=3, num_classes=2
    )
    assert prunable_heads(vit.eval(), (16, 16)) == ["blocks.0.attn", "blocks.1.attn"]
    vit = torchvision.models.VisionTransformer(
        image_size=16, patch_size=8, num_layers=1, num_heads=3, hidden_dim=12, mlp_dim=8
    )
    names = ["encoder.layers.encoder_layer_0.self_attention"]
    assert prunable_heads(vit.eval(), (16, 16)) == names
    assert prunable_heads(nn.Sequential(nn.Conv2d(3, 8, 1)).eval(), (8, 8)) == []


def test_heads_of_own_attention():
    assert found(Own()) == ["middle"]
    assert found(Own(bias=True)) == ["middle"]  # one of its axes goes with the heads
    assert found(Cross()) == ["middle.attention"]


def test_what_is_left_as_it_is():
    assert found(FixedWidth()) == []
    assert found(SharedBias()) == []
    assert found(Cross(add_zero_attn=True)) == []
    # Rows in another order than is usual are not taken for heads.
    assert found(Own("heads three width")) == []
    assert found(Own("width heads three")) == []
