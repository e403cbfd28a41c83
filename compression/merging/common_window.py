"""Kernels of different windows and groups, placed within one that has room for both."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

import torch
from torch import Tensor


@dataclass(frozen=True)
class Axis:
    """The places of the input that a window reads along one axis: -padding + dilation * index."""

    padding: int
    dilation: int
    size: int

    @property
    def surplus(self) -> int:
        """How many places more the output has than the input, before the stride."""
        return 2 * self.padding - self.dilation * (self.size - 1)


def common_axis(*windows: Axis) -> Axis:
    """The smallest window that has the places of all."""
    first = min(-w.padding for w in windows)
    last = max((w.size - 1) * w.dilation - w.padding for w in windows)
    step = 0
    for window in windows:
        step = gcd(step, -window.padding - first)
        step = step if window.size == 1 else gcd(step, window.dilation)
    step = step or 1
    return Axis(-first, step, (last - first) // step + 1)


def placed(kernel: Tensor, own: Sequence[Axis], common: Sequence[Axis]) -> Tensor:
    """A kernel O x I x kh x kw within a wider window, zero elsewhere.

    Args:
        kernel: in its own window.
        own: that window, as (height, width).
        common: the wider one.
    """
    wide = kernel.new_zeros(*kernel.shape[:2], common[0].size, common[1].size)
    places = []
    for inner, outer in zip(own, common, strict=True):
        start, step = (outer.padding - inner.padding) // outer.dilation, 1
        if inner.size > 1:
            step = inner.dilation // outer.dilation
        places.append(slice(start, start + (inner.size - 1) * step + 1, step))
    wide[:, :, places[0], places[1]] = kernel
    return wide


def regrouped(kernel: Tensor, groups: int, fewer: int) -> Tensor:
    """A kernel of `groups` in `fewer`: O x I / fewer x kh x kw, zero between what was apart."""
    parts, inputs, window = groups // fewer, kernel.shape[1], kernel.shape[2:]
    if parts == 1:
        return kernel
    small = kernel.reshape(fewer, parts, -1, inputs, *window)
    apart = torch.eye(parts, device=small.device, dtype=small.dtype)
    blocks = small[:, :, :, None] * apart[None, :, None, :, None, None, None]
    return blocks.reshape(len(kernel), parts * inputs, *window)
