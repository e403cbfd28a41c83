"""A layer's weights as one kernel per group, G x O x I x kh x kw in float64 on the CPU."""

import torch
from torch import Tensor, nn

from compression.cost.geometry import Layer
from compression.errors import CompressionError


def kernel_of(layer: Layer) -> Tensor:
    """The kernel of a convolution or Linear (kh = kw = 1), or of what a product stands for.

    Raises:
        CompressionError: it holds a NaN or an infinity.
    """
    factors = list(layer) if isinstance(layer, nn.Sequential) else [layer]
    groups = getattr(factors[0], "groups", 1)
    kernel = _grouped(factors[0], groups)
    for factor in factors[1:]:
        kernel = _after(_grouped(factor, groups), kernel)
    if not kernel.isfinite().all():
        raise CompressionError("A kernel with NaN or infinite weights cannot be factorised.")
    return kernel


def _grouped(layer: nn.Conv2d | nn.Linear, groups: int) -> Tensor:
    """The kernel of a factor as G blocks, of which a depthwise factor fills only the diagonals."""
    weight = layer.weight.detach().to("cpu", torch.float64)
    weight = weight[:, :, None, None] if weight.ndim == 2 else weight
    outputs, inputs, *window = weight.shape
    parts = getattr(layer, "groups", 1) // groups
    small = weight.reshape(groups, parts, outputs // (groups * parts), inputs, *window)
    if parts == 1:
        return small[:, 0]
    blocks = small.new_zeros(groups, parts, small.shape[2], parts, inputs, *window)
    diagonal = torch.arange(parts)
    blocks[:, diagonal, :, diagonal] = small.transpose(0, 1)
    return blocks.reshape(groups, outputs // groups, parts * inputs, *window)


def _after(second: Tensor, first: Tensor) -> Tensor:
    """The kernel of `second` done after `first`; along each axis one of them has size 1."""
    product = torch.einsum("gomab,gmihw->goiahbw", second, first)
    groups, outputs, inputs, a, h, b, w = product.shape
    return product.reshape(groups, outputs, inputs, a * h, b * w)
