"""What modules keep beside their tensors: lists of widths, and what they store for evaluation."""

import pytest
import torch
from torch import nn

from compression import compress
from compression.pruning import Prune
from compression.pruning.told_sizes import sizes_of_parts
from scripts.bench.masked import enliven, masked_difference


class Mixed(nn.ModuleList):
    """Branches of several kernel sizes, as in MixNet."""

    def __init__(self, width, kernels=(3, 5), kind=list):
        part = width // len(kernels)
        super().__init__(
            nn.Sequential(nn.Conv2d(part, part, k, padding=k // 2, groups=part), nn.ReLU())
            for k in kernels
        )
        self.splits = kind([part] * len(kernels))

    def forward(self, x):
        return torch.cat(
            [branch(part) for branch, part in zip(self, x.split(self.splits, 1), strict=True)], 1
        )


class Selective(nn.Module):
    """Two paths on a half of the channels each, weighed by attention, as in SKNet."""

    def __init__(self, width=16):
        super().__init__()
        self.in_channels = width
        self.paths = nn.ModuleList(
            nn.Conv2d(width // 2, width, 3, padding=d, dilation=d) for d in (1, 2)
        )
        self.reduce, self.select = nn.Conv2d(width, 8, 1), nn.Conv2d(8, 2 * width, 1)

    def forward(self, x):
        parts = x.split(self.in_channels // 2, 1)
        x = torch.stack([path(part) for path, part in zip(self.paths, parts, strict=True)], 1)
        gate = self.select(self.reduce(nn.functional.adaptive_avg_pool2d(x.sum(1), 1)).relu())
        gate = gate.view(len(x), 2, -1, 1, 1).softmax(1)
        return (x * gate).sum(1)


class BiasByHead(nn.Module):
    """Attention with a table of biases, looked up by place and stored, as in LeViT."""

    def __init__(self, width=16, heads=2, places=16):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.biases = nn.Parameter(torch.randn(heads, places))
        offsets = torch.arange(places)
        self.register_buffer("where", (offsets[:, None] - offsets).abs())
        self.stored = None

    def train(self, mode=True):
        self.stored = None if mode else self.stored
        return super().train(mode)

    def bias(self):
        if self.training:
            return self.biases[:, self.where]
        if self.stored is None:
            self.stored = self.biases[:, self.where]
        return self.stored

    def forward(self, x):
        n, _, h, w = x.shape
        t = x.flatten(2).transpose(1, 2)
        q, k, v = self.qkv(t).reshape(n, h * w, 3, self.heads, 8).permute(2, 0, 3, 1, 4)
        bias = self.bias()
        parts = [  # head by head, as in EfficientViT
            (q[:, i] @ k[:, i].transpose(1, 2) / 4 + bias[i]).softmax(-1) @ v[:, i]
            for i in range(self.heads)
        ]
        return self.out(torch.cat(parts, -1)).transpose(1, 2).reshape(n, -1, h, w)


class Around(nn.Module):
    """N x 3 x 4 x 4 -> N x 6, with `middle` between two convolutions of `width` channels."""

    def __init__(self, middle, width=16):
        super().__init__()
        self.a, self.middle, self.b = nn.Conv2d(3, width, 1), middle, nn.Conv2d(width, 32, 1)
        self.out = nn.Linear(32, 6)

    def forward(self, x):
        x = self.middle(self.a(x).relu())
        return self.out(nn.functional.adaptive_avg_pool2d(self.b(x).relu(), 1).flatten(1))


def pruned(network):
    step = Prune(ratio=0.5, round_to=1, scope="uniform")
    smaller, recipe = compress(network, [step], sample=torch.rand(2, 3, 4, 4))
    plan = recipe.entries[0].plan
    assert masked_difference(network, smaller, plan, torch.rand(2, 3, 4, 4)) < 1e-5
    return smaller


@pytest.mark.parametrize("kind", [list, tuple])
def test_widths_of_parts_are_told(kind):
    smaller = pruned(enliven(Around(Mixed(16, kind=kind))))
    assert smaller.middle.splits == kind([4, 4])
    assert [branch[0].weight.shape for branch in smaller.middle] == [(4, 1, 3, 3), (4, 1, 5, 5)]
    assert smaller.a.weight.shape == (8, 3, 1, 1)


@pytest.mark.parametrize("seed", range(2))
def test_the_width_that_branches_share_is_told(seed):
    torch.manual_seed(seed)
    smaller = pruned(enliven(Around(Selective()), seed))
    assert smaller.middle.in_channels == 8
    assert [path.weight.shape[1] for path in smaller.middle.paths] == [4, 4]


class ClassToken(nn.Module):
    """A width that the code writes down, as in torchvision's vision transformer."""

    def __init__(self, width=16):
        super().__init__()
        self.hidden_dim, self.token = width, nn.Parameter(torch.randn(1, 1, width))

    def forward(self, x):
        tokens = x.reshape(len(x), self.hidden_dim, -1).transpose(1, 2) + self.token
        return tokens.transpose(1, 2).reshape(x.shape)


def test_the_width_of_tokens_is_told():
    smaller = pruned(enliven(Around(ClassToken())))
    assert smaller.middle.hidden_dim == smaller.middle.token.shape[-1] == 8


def test_other_lists_stay():
    module = Around(Mixed(16))
    module.middle.sizes, module.middle.numbers = [8], [3, 5]
    assert len(sizes_of_parts(module)) == 1


def test_biases_of_heads_stay_and_the_rest_is_cut():
    network = enliven(Around(BiasByHead()))
    smaller = pruned(network)
    assert smaller.middle.biases.shape == (2, 16)
    assert smaller.middle.out.weight.shape[0] == smaller.b.weight.shape[1] == 8


def test_what_was_stored_for_evaluation_is_computed_anew():
    torch.manual_seed(0)
    network = enliven(Around(BiasByHead()))
    fresh = pruned(network)
    with torch.no_grad():
        network(torch.rand(2, 3, 4, 4))
    assert network.middle.stored is not None
    again = pruned(network)
    assert again.state_dict().keys() == fresh.state_dict().keys()
    assert all(
        torch.equal(a, b) for a, b in zip(fresh.parameters(), again.parameters(), strict=True)
    )
