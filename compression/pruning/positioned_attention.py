"""Attention of libraries with a bias by relative position, with heads that need not fill its width.

Each computes what it stands for while they do; there the heads' result is as wide as the tokens.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, linear, normalize, pad, scaled_dot_product_attention


class HeadsOfTokens(nn.Module):
    """Attention that makes queries, keys and values by one layer."""

    num_heads: int
    head_dim: int
    qkv: nn.Linear
    proj: nn.Linear

    def _by_head(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values of tokens N x L x E: N x heads x L x width each."""
        parts = self.qkv(tokens).unflatten(-1, (3, self.num_heads, self.head_dim))
        return parts.permute(2, 0, 3, 1, 4).unbind(0)


class RelPosHeadAttention(HeadsOfTokens):
    """timm's `RelPosAttention`, whose attributes it has."""

    q_norm: nn.Module
    k_norm: nn.Module
    rel_pos: Any  # a module, or None
    attn_drop: nn.Dropout
    proj_drop: nn.Module

    def forward(self, x: Tensor, shared_rel_pos: Tensor | None = None) -> Tensor:
        """Tokens N x L x E -> N x L x E.

        Args:
            x: the tokens.
            shared_rel_pos: 1 x heads x L x L, of a module that has no bias of its own.
        """
        q, k, v = self._by_head(x)
        bias = shared_rel_pos if self.rel_pos is None else self.rel_pos.get_bias()
        chance = self.attn_drop.p if self.training else 0.0
        x = scaled_dot_product_attention(self.q_norm(q), self.k_norm(k), v, bias, chance)
        tokens: Tensor = self.proj_drop(self.proj(x.transpose(1, 2).flatten(2)))
        return tokens


class ShiftedWindowHeadAttention(HeadsOfTokens):
    """torchvision's `ShiftedWindowAttention` (Liu et al. 2021, arXiv:2103.14030).

    It has its attributes, and the width of a head as `head_dim`.
    """

    window_size: list[int]
    shift_size: list[int]
    attention_dropout: float
    dropout: float
    relative_position_bias_table: nn.Parameter
    relative_position_index: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Maps N x H x W x E -> N x H x W x E."""
        height, width = x.shape[1:3]
        x = pad(x, (0, 0, 0, -width % self.window_size[1], 0, -height % self.window_size[0]))
        sizes = list(zip(x.shape[1:3], self.window_size, self.shift_size, strict=True))
        shifts = [0 if window >= size else shift for size, window, shift in sizes]
        if any(shifts):
            x = x.roll([-shift for shift in shifts], (1, 2))
        q, k, v = self._by_head(into_windows(x, self.window_size).flatten(0, 1))
        scores = self._products(q, k) + self.get_relative_position_bias()
        if any(shifts):
            mask = self._mask(x, shifts)
            scores = (scores.unflatten(0, (-1, len(mask))) + mask[:, None]).flatten(0, 1)
        weights = dropout(scores.softmax(-1), self.attention_dropout, self.training)
        tokens = self.proj((weights @ v).transpose(1, 2).flatten(2))
        tokens = dropout(tokens, self.dropout, self.training)
        x = out_of_windows(tokens, self.window_size, x.shape)
        if any(shifts):
            x = x.roll(shifts, (1, 2))
        return x[:, :height, :width]

    def _products(self, q: Tensor, k: Tensor) -> Tensor:
        """Of queries and keys, N x heads x places x width -> N x heads x places x places."""
        return q * self.head_dim**-0.5 @ k.transpose(-2, -1)

    def _mask(self, x: Tensor, shifts: list[int]) -> Tensor:
        """Windows x places x places: -100 where rolling has brought two together."""
        regions = x.new_zeros(x.shape[1:3])
        for axis, (window, shift) in enumerate(zip(self.window_size, shifts, strict=True)):
            size = x.shape[1 + axis]
            place = torch.arange(size, device=x.device)
            region = (place >= size - window).to(x.dtype) + (place >= size - shift).to(x.dtype)
            regions = 3 * regions + (region if axis else region[:, None])
        own = into_windows(regions[None, ..., None], self.window_size)[0, ..., 0]
        return torch.where(own[:, None] == own[:, :, None], 0.0, -100.0).to(x.dtype)

    def get_relative_position_bias(self) -> Tensor:
        """1 x heads x places x places."""
        return self._by_place(self.relative_position_bias_table)

    def _by_place(self, table: Tensor) -> Tensor:
        """Distances x heads -> 1 x heads x places x places."""
        places = self.window_size[0] * self.window_size[1]
        bias = table[self.relative_position_index]
        return bias.reshape(places, places, -1).permute(2, 0, 1)[None]


class CosineWindowHeadAttention(ShiftedWindowHeadAttention):
    """torchvision's `ShiftedWindowAttentionV2` (Liu et al. 2022, arXiv:2111.09883).

    It has its attributes, and the width of a head as `head_dim`.
    """

    logit_scale: nn.Parameter
    cpb_mlp: nn.Module
    relative_coords_table: Tensor

    def _by_head(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """As there; keys without the bias that their layer has."""
        bias: Tensor | None = self.qkv.bias
        if bias is not None:
            of_queries, of_keys, of_values = bias.chunk(3)
            bias = torch.cat([of_queries, 0 * of_keys, of_values])  # which go with their heads
        parts = linear(tokens, self.qkv.weight, bias)
        parts = parts.unflatten(-1, (3, self.num_heads, self.head_dim))
        return parts.permute(2, 0, 3, 1, 4).unbind(0)

    def _products(self, q: Tensor, k: Tensor) -> Tensor:
        scale = self.logit_scale.clamp(max=math.log(100.0)).exp()
        return normalize(q, dim=-1) @ normalize(k, dim=-1).transpose(-2, -1) * scale

    def get_relative_position_bias(self) -> Tensor:
        """1 x heads x places x places, of a network of the distances."""
        table = self.cpb_mlp(self.relative_coords_table).flatten(0, -2)
        return 16 * self._by_place(table).sigmoid()


def into_windows(x: Tensor, window: Sequence[int]) -> Tensor:
    """N x H x W x E -> N x windows x places x E, of a height and a width that divide H and W."""
    x = x.unflatten(2, (-1, window[1])).unflatten(1, (-1, window[0]))
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def out_of_windows(tokens: Tensor, window: Sequence[int], shape: torch.Size) -> Tensor:
    """N windows x places x E -> N x H x W x E; `shape` says all but E."""
    high, wide = window
    x = tokens.reshape(shape[0], shape[1] // high, shape[2] // wide, high, wide, -1)
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)
