"""timm's attention of Twins (Chu et al. 2021, arXiv:2104.13840) with heads that need not fill its
width.

Each computes what it stands for while they do; there the heads' result is as wide as the tokens.
"""

from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention

from compression.pruning.positioned_attention import (
    HeadsOfTokens,
    into_windows,
    out_of_windows,
)


class GroupedHeadAttention(HeadsOfTokens):
    """timm's `LocallyGroupedAttn`, whose attributes it has."""

    attn_drop: nn.Dropout
    proj_drop: nn.Module
    ws: int

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Tokens N x H W x E of a map H x W -> N x H W x E."""
        (height, width), side = size, self.ws
        x = pad(x.unflatten(1, (height, width)), (0, 0, 0, -width % side, 0, -height % side))
        chance = self.attn_drop.p if self.training else 0.0
        q, k, v = self._by_head(into_windows(x, (side, side)).flatten(0, 1))
        found = scaled_dot_product_attention(q, k, v, dropout_p=chance).transpose(1, 2).flatten(2)
        found = out_of_windows(found, (side, side), x.shape)[:, :height, :width].flatten(1, 2)
        tokens: Tensor = self.proj_drop(self.proj(found))
        return tokens


class SubSampledHeadAttention(nn.Module):
    """timm's `GlobalSubSampleAttn`, whose attributes it has, and the width of a head."""

    num_heads: int
    head_dim: int
    q: nn.Linear
    kv: nn.Linear
    proj: nn.Linear
    sr: nn.Conv2d | None
    norm: nn.LayerNorm | None
    attn_drop: nn.Dropout
    proj_drop: nn.Module

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Tokens N x H W x E of a map H x W -> N x H W x E; keys are of a smaller map."""
        heads = (self.num_heads, self.head_dim)
        q = self.q(x).unflatten(-1, heads).transpose(1, 2)
        if self.sr is not None and self.norm is not None:
            x = self.norm(self.sr(x.transpose(1, 2).unflatten(2, size)).flatten(2).transpose(1, 2))
        k, v = self.kv(x).unflatten(-1, (2, *heads)).permute(2, 0, 3, 1, 4).unbind(0)
        chance = self.attn_drop.p if self.training else 0.0
        found = scaled_dot_product_attention(q, k, v, dropout_p=chance)
        tokens: Tensor = self.proj_drop(self.proj(found.transpose(1, 2).flatten(2)))
        return tokens
