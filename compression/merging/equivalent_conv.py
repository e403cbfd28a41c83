"""A convolution that a computation amounts to, and what sums, scales and sequences make of it.

Ding et al. 2021, RepVGG (arXiv:2101.03697), section 3.3; here of any windows, strides, dilations
and groups. Kernels may lie on the meta device, where only the geometry is found.
"""

from dataclasses import dataclass, replace
from math import gcd
from typing import Any, Self, TypeVar

import torch
from torch import Tensor

from compression.merging.common_window import Axis, common_axis, placed, regrouped

Pair = tuple[int, int]
Number = int | float


class NotAConvolutionError(Exception):
    """The map was given to something that no convolution can take in.

    Attributes:
        summed: whether branches had been summed before.
    """

    def __init__(self, what: str, *, summed: bool = False) -> None:
        super().__init__(what)
        self.summed = summed


@dataclass(frozen=True, eq=False)
class LayerCall:
    """One use of a layer, and its multiply-accumulates for one place of the output."""

    macs: int


@dataclass(eq=False)
class EquivalentConv:
    """A convolution with zero padding of a map N x C x H x W, or a Linear of N x C.

    Attributes:
        kernel: O x I / groups x kh x kw.
        bias: O, or None.
        padding, stride, dilation: as (height, width).
        groups: of the kernel.
        flat: whether N x C goes in and out; the kernel is 1 x 1 then.
        branches: how many computations are summed in it.
        layers: what it was computed by; a sum of branches that share one has it once.
    """

    kernel: Tensor
    bias: Tensor | None
    padding: Pair = (0, 0)
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    groups: int = 1
    flat: bool = False
    branches: int = 1
    layers: frozenset["LayerCall"] = frozenset()

    @property
    def is_costlier(self) -> bool:
        """Whether it has more multiply-accumulates than what it was computed by."""
        return self.kernel.numel() > sum(layer.macs for layer in self.layers)

    @property
    def inputs(self) -> int:
        """Channels in."""
        return self.kernel.shape[1] * self.groups

    @property
    def outputs(self) -> int:
        """Channels out."""
        return self.kernel.shape[0]

    @property
    def axes(self) -> tuple[Axis, Axis]:
        """Its window, as (height, width)."""
        sizes = self.kernel.shape[2:]
        height, width = map(Axis, self.padding, self.dilation, sizes)
        return height, width

    def changed(self, **fields: Any) -> Self:
        """The same computation with more done to it."""
        return replace(self, **fields)


C = TypeVar("C", bound=EquivalentConv)


def added(left: C | Tensor | Number, right: C | Tensor | Number) -> C:
    """The sum of two of them, or of one and a constant; as wide as the wider window."""
    if not isinstance(left, EquivalentConv):
        left, right = right, left
    assert isinstance(left, EquivalentConv)
    if not isinstance(right, EquivalentConv):
        if isinstance(right, Number) and right == 0:
            return left
        constant = _by_channel(left, right)
        bias = constant if left.bias is None else left.bias + constant
        return left.changed(bias=bias)
    _require_same_sides(left, right)
    groups = gcd(left.groups, right.groups)
    axes = [common_axis(*pair) for pair in zip(left.axes, right.axes, strict=True)]
    kernel = sum(
        placed(regrouped(one.kernel, one.groups, groups), one.axes, axes) for one in (left, right)
    )
    assert isinstance(kernel, Tensor)
    biases = [one.bias for one in (left, right) if one.bias is not None]
    return left.changed(
        kernel=kernel,
        bias=torch.stack(biases).sum(0) if biases else None,
        padding=(axes[0].padding, axes[1].padding),
        dilation=(axes[0].dilation, axes[1].dilation),
        groups=groups,
        branches=left.branches + right.branches,
        layers=left.layers | right.layers,
    )


def multiplied(left: C | Tensor | Number, right: C | Tensor | Number) -> C:
    """One of them times a number, or a number for each channel."""
    if not isinstance(left, EquivalentConv):
        left, right = right, left
    assert isinstance(left, EquivalentConv)
    if isinstance(right, EquivalentConv):
        raise NotAConvolutionError("a product of two maps")
    factor = _by_channel(left, right)
    kernel = left.kernel * factor[:, None, None, None]
    bias = None if left.bias is None else left.bias * factor
    return left.changed(kernel=kernel, bias=bias)


def _require_same_sides(left: EquivalentConv, right: EquivalentConv) -> None:
    """Two maps that are added must have the same sides, whatever those of the input are."""
    surplus = [[axis.surplus for axis in one.axes] for one in (left, right)]
    shapes = [(one.inputs, one.outputs, one.stride, one.flat) for one in (left, right)]
    if shapes[0] != shapes[1] or surplus[0] != surplus[1]:
        raise NotAConvolutionError("a sum of maps of different sizes")


def following(second: C, first: C) -> C:
    """One done after the other, where one of them is a 1 x 1 convolution."""
    padded = second.padding != (0, 0) and first.bias is not None  # the padding has no bias
    if _is_pointwise(second):
        window = first
    elif _is_pointwise(first) and not padded:
        window = second
    else:
        raise NotAConvolutionError("a window of a convolved map", summed=first.branches > 1)
    groups = gcd(first.groups, second.groups)
    kernels = (regrouped(one.kernel, one.groups, groups) for one in (first, second))
    # G x M / G x I / G x kh x kw, and G x O / G x M / G x kh x kw.
    inner, outer = (kernel.unflatten(0, (groups, -1)) for kernel in kernels)
    if window is first:
        kernel = torch.einsum("gom,gmihw->goihw", outer[..., 0, 0], inner)
    else:
        kernel = torch.einsum("gomhw,gmi->goihw", outer, inner[..., 0, 0])
    bias = second.bias
    if first.bias is not None:
        entering = first.bias.unflatten(0, (groups, -1))
        shift = torch.einsum("gomhw,gm->go", outer, entering).flatten()
        bias = shift if bias is None else bias + shift
    return first.changed(
        kernel=kernel.flatten(0, 1),
        bias=bias,
        padding=window.padding,
        stride=window.stride,
        dilation=window.dilation,
        groups=groups,
        layers=first.layers | second.layers,
    )


def _is_pointwise(conv: EquivalentConv) -> bool:
    alike = conv.stride == (1, 1) and conv.padding == (0, 0)
    return alike and conv.kernel.shape[2:] == (1, 1)


def _by_channel(conv: EquivalentConv, value: Tensor | Number) -> Tensor:
    """A constant as one number for each channel."""
    if not isinstance(value, Tensor):
        return conv.kernel.new_full((conv.outputs,), value)
    shape = channel_shape(conv)
    if value.numel() == 1:
        return value.reshape(1).to(conv.kernel.dtype).expand(conv.outputs)
    if value.shape not in (shape, (1, *shape)):
        raise NotAConvolutionError("a constant of another shape", summed=conv.branches > 1)
    return value.reshape(-1)


def channel_shape(conv: EquivalentConv) -> tuple[int, ...]:
    """Of one number for each channel, without the batch."""
    return (conv.outputs,) if conv.flat else (conv.outputs, 1, 1)
