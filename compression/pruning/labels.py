"""Labels: which channel every element of a tensor belongs to.

A *layer* of labels is an int64 tensor of the shape of what it describes. Equal labels belong to
the same channel; 0 is no channel that could be taken out. A weight has one layer for each of its
axes, a feature map usually one. Layers are kept expanded (stride 0) along every dimension in which
they do not vary, so that they take no memory and moving them is free.
"""

from collections.abc import Iterable

import torch
from torch import Tensor


def varying(layer: Tensor) -> frozenset[int]:
    """The dimensions along which the labels of a normalised layer differ."""
    return frozenset(d for d in range(layer.ndim) if layer.stride(d) and layer.shape[d] > 1)


def normalised(layer: Tensor) -> Tensor:
    """The same labels, with stride 0 along every dimension in which they do not vary."""
    shape = layer.shape
    for dim in range(layer.ndim):
        if layer.shape[dim] > 1:
            first = layer.narrow(dim, 0, 1)
            if layer.stride(dim) == 0 or bool((layer == first).all()):
                layer = first
    return layer.expand(shape)


def compact(layers: Iterable[Tensor]) -> list[Tensor]:
    """Layers of one shape, flattened, without what is repeated in all of them."""
    layers = list(layers)
    for dim in range(layers[0].ndim):
        if all(layer.stride(dim) == 0 for layer in layers):
            layers = [layer.narrow(dim, 0, min(1, layer.shape[dim])) for layer in layers]
    return [layer.flatten() for layer in layers]


def reshaped(layer: Tensor, shape: Iterable[int]) -> Tensor:
    """The layer in another shape of as many elements."""
    return normalised(layer.reshape(tuple(shape)))


def aligned(layer: Tensor, shape: torch.Size) -> Tensor:
    """The layer broadcast to `shape`, as PyTorch aligns tensors: from the last dimension."""
    return layer.reshape((1,) * (len(shape) - layer.ndim) + tuple(layer.shape)).expand(shape)
