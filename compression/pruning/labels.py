"""Labels: which channel every element of a tensor belongs to.

A *label map* is an int64 tensor of the shape of what it describes. Equal labels belong to the same
channel; 0 is no channel that could be taken out. A weight has one map for each of its axes, a
feature map usually one. Maps are kept expanded (stride 0) along every dimension in which they do
not vary, so that they take no memory and moving them is free.
"""

from collections.abc import Iterable

import torch
from torch import Tensor


def varying(label_map: Tensor) -> frozenset[int]:
    """The dimensions along which the labels of a normalized map differ."""
    return frozenset(
        d for d in range(label_map.ndim) if label_map.stride(d) and label_map.shape[d] > 1
    )


def normalized(label_map: Tensor) -> Tensor:
    """The same labels, with stride 0 along every dimension in which they do not vary."""
    shape = label_map.shape
    for dim in range(label_map.ndim):
        if label_map.shape[dim] > 1:
            first = label_map.narrow(dim, 0, 1)
            if label_map.stride(dim) == 0 or bool((label_map == first).all()):
                label_map = first
    return label_map.expand(shape)


def compact(label_maps: Iterable[Tensor]) -> list[Tensor]:
    """Maps of one shape, flattened, without what is repeated in all of them."""
    maps = list(label_maps)
    for dim in range(maps[0].ndim):
        if all(label_map.stride(dim) == 0 for label_map in maps):
            maps = [label_map.narrow(dim, 0, min(1, label_map.shape[dim])) for label_map in maps]
    return [label_map.flatten() for label_map in maps]


def reshaped(label_map: Tensor, shape: Iterable[int]) -> Tensor:
    """The map in another shape of as many elements."""
    return normalized(label_map.reshape(tuple(shape)))


def aligned(label_map: Tensor, shape: torch.Size) -> Tensor:
    """The map broadcast to `shape`, as PyTorch aligns tensors: from the last dimension."""
    return label_map.reshape((1,) * (len(shape) - label_map.ndim) + tuple(label_map.shape)).expand(
        shape
    )
