"""The one convolution that a computation of convolutions, BatchNorm, scales and sums amounts to.

An `EquivalentConv` is passed through a module's own `forward` in the place of the feature map, and
comes out as the kernel and bias of the whole (Ding et al. 2021, RepVGG, arXiv:2101.03697, section
3.3). So nothing needs to be known of a class: whatever its code does with the map is either taken
into the kernel or refused. The code may run on the meta device, where only the geometry is found.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import gcd
from typing import Any

import torch
from torch import Tensor

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
        untouched: whether it is the input as it came in.
        made_by: the member of the module whose whole output it is, given the untouched input.
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
    untouched: bool = False
    made_by: str | None = None

    @classmethod
    def of_input(
        cls, channels: int, *, flat: bool, device: torch.device, dtype: torch.dtype
    ) -> "EquivalentConv":
        """What leaves its input as it is."""
        kernel = torch.ones(channels, 1, 1, 1, device=device, dtype=dtype)
        return cls(kernel, None, groups=channels, flat=flat, untouched=True)

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
    def ndim(self) -> int:
        """Of the map that it stands for."""
        return 2 if self.flat else 4

    def dim(self) -> int:
        """As of a tensor."""
        return self.ndim

    def contiguous(self, **_: Any) -> "EquivalentConv":
        """Itself, as all that asks only for a layout in memory."""
        return self

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Any],
        types: Sequence[type],
        arguments: Sequence[Any] = (),
        settings: Mapping[str, Any] | None = None,
    ) -> "EquivalentConv":
        """What PyTorch calls where one of these is given to a function of its own."""
        name = getattr(function, "__name__", "").strip("_")
        found = FUNCTIONS.get(name)
        if found is None:
            given = [a for a in arguments if isinstance(a, EquivalentConv)]
            raise NotAConvolutionError(name, summed=any(one.branches > 1 for one in given))
        return found(*arguments, **(settings or {}))

    def __getitem__(self, places: Any) -> "EquivalentConv":
        """Every n-th row and m-th column: a convolution with that stride."""
        *before, rows, columns = places
        steps = [axis.step or 1 for axis in (rows, columns)]
        whole = before in ([Ellipsis], [slice(None), slice(None)])
        if self.flat or not whole or any(a != slice(None, None, a.step) for a in (rows, columns)):
            raise NotAConvolutionError("a part of the map", summed=self.branches > 1)
        stride = (self.stride[0] * steps[0], self.stride[1] * steps[1])
        return replace(self, stride=stride, untouched=False, made_by=None)

    def __add__(self, other: Any) -> "EquivalentConv":
        """See `added`."""
        return added(self, other)

    def __sub__(self, other: Any) -> "EquivalentConv":
        """The sum with the negative."""
        return added(self, multiplied(other, -1))

    def __mul__(self, other: Any) -> "EquivalentConv":
        """See `multiplied`."""
        return multiplied(self, other)

    def __truediv__(self, other: Any) -> "EquivalentConv":
        """By a number, or a number for each channel."""
        return multiplied(self, 1 / other)

    def __neg__(self) -> "EquivalentConv":
        """Times -1."""
        return multiplied(self, -1)

    def __rsub__(self, other: Any) -> "EquivalentConv":
        """The negative, and what it is taken from."""
        return added(multiplied(self, -1), other)

    __radd__ = add = __add__
    __rmul__ = mul = __mul__
    sub, div = __sub__, __truediv__

    # A map that is changed in place is changed under all of its names.
    def __iadd__(self, other: Any) -> "EquivalentConv":
        """The sum in its place."""
        return self._become(self + other)

    def __isub__(self, other: Any) -> "EquivalentConv":
        """The difference in its place."""
        return self._become(self - other)

    def __imul__(self, other: Any) -> "EquivalentConv":
        """The product in its place."""
        return self._become(self * other)

    def __itruediv__(self, other: Any) -> "EquivalentConv":
        """The quotient in its place."""
        return self._become(self / other)

    add_, sub_, mul_, div_ = __iadd__, __isub__, __imul__, __itruediv__

    def _become(self, other: "EquivalentConv") -> "EquivalentConv":
        vars(self).update({**vars(other), "made_by": None, "untouched": False})
        return self


Term = EquivalentConv | Tensor | Number


def added(left: Term, right: Term) -> EquivalentConv:
    """The sum of two of them, or of one and a constant; as wide as the wider window."""
    if not isinstance(left, EquivalentConv):
        left, right = right, left
    assert isinstance(left, EquivalentConv)
    if not isinstance(right, EquivalentConv):
        if isinstance(right, Number) and right == 0:
            return left
        constant = _by_channel(left, right)
        bias = constant if left.bias is None else left.bias + constant
        return replace(left, bias=bias, untouched=False, made_by=None)
    _require_same_sides(left, right)
    groups = gcd(left.groups, right.groups)
    axes = [_common_axis(left, right, axis) for axis in (0, 1)]
    kernel = sum(_placed(_regrouped(one, groups), one, axes) for one in (left, right))
    assert isinstance(kernel, Tensor)
    biases = [one.bias for one in (left, right) if one.bias is not None]
    return EquivalentConv(
        kernel=kernel,
        bias=torch.stack(biases).sum(0) if biases else None,
        padding=(axes[0].padding, axes[1].padding),
        stride=left.stride,
        dilation=(axes[0].dilation, axes[1].dilation),
        groups=groups,
        flat=left.flat,
        branches=left.branches + right.branches,
        layers=left.layers | right.layers,
    )


def multiplied(left: Term, right: Term) -> EquivalentConv:
    """One of them times a number, or a number for each channel."""
    if not isinstance(left, EquivalentConv):
        left, right = right, left
    assert isinstance(left, EquivalentConv)
    if isinstance(right, EquivalentConv):
        raise NotAConvolutionError("a product of two maps")
    factor = _by_channel(left, right)
    kernel = left.kernel * factor[:, None, None, None]
    bias = None if left.bias is None else left.bias * factor
    return replace(left, kernel=kernel, bias=bias, untouched=False, made_by=None)


def conv2d(
    input: EquivalentConv,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | str | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> EquivalentConv:
    """A convolution of the input, or of what it became where one of both is 1 x 1."""
    if not isinstance(input, EquivalentConv) or input.flat or weight.ndim != 4:
        raise NotAConvolutionError("a convolution of something else")
    window = (weight.shape[2], weight.shape[3])
    dilation = _pair(dilation)
    found = EquivalentConv(
        kernel=weight,
        bias=bias,
        padding=_padding(padding, window, dilation),
        stride=_pair(stride),
        dilation=dilation,
        groups=groups,
        layers=frozenset([LayerCall(weight.numel())]),
    )
    if found.inputs != input.outputs:
        raise NotAConvolutionError("a convolution of other channels")
    return found if input.untouched else _after(found, input)


def linear(input: EquivalentConv, weight: Tensor, bias: Tensor | None = None) -> EquivalentConv:
    """A Linear of N x C."""
    if not isinstance(input, EquivalentConv) or not input.flat:
        raise NotAConvolutionError("a Linear of a map")
    kernel = weight[:, :, None, None]
    layers = frozenset([LayerCall(weight.numel())])
    found = EquivalentConv(kernel, bias, flat=True, layers=layers)
    return found if input.untouched else _after(found, input)


def batch_norm(
    input: EquivalentConv,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> EquivalentConv:
    """By the running statistics."""
    if training or running_mean is None or running_var is None:
        raise NotAConvolutionError("a BatchNorm of each batch", summed=input.branches > 1)
    scale = (running_var + eps).rsqrt()
    scale = scale if weight is None else scale * weight
    shift = -running_mean * scale if bias is None else bias - running_mean * scale
    scaled = multiplied(input, scale.reshape(_channel_shape(input)))
    return added(scaled, shift.reshape(_channel_shape(input)))


def dropout(
    input: EquivalentConv, p: float = 0.5, training: bool = True, inplace: bool = False
) -> EquivalentConv:
    """Nothing in evaluation."""
    if training:
        raise NotAConvolutionError("dropout in training")
    return input


FUNCTIONS: Mapping[str, Callable[..., EquivalentConv]] = {
    "conv2d": conv2d,
    "linear": linear,
    "batch_norm": batch_norm,
    "dropout": dropout,
    "dropout1d": dropout,
    "dropout2d": dropout,
    "feature_dropout": dropout,
    "add": added,
    "radd": added,
    "mul": multiplied,
    "rmul": multiplied,
    "multiply": multiplied,
    "sub": lambda left, right: added(left, multiplied(right, -1)),
    "rsub": lambda left, right: added(right, multiplied(left, -1)),
    "div": lambda left, right: multiplied(left, 1 / right),
    "truediv": lambda left, right: multiplied(left, 1 / right),
    "neg": lambda left: multiplied(left, -1),
}


@dataclass(frozen=True)
class _Axis:
    """The places of the input that a window reads along one axis: -padding + dilation * index."""

    padding: int
    dilation: int
    size: int


def _common_axis(left: EquivalentConv, right: EquivalentConv, axis: int) -> _Axis:
    """The smallest window that has the places of both."""
    windows = [_axis(one, axis) for one in (left, right)]
    first = min(-w.padding for w in windows)
    last = max((w.size - 1) * w.dilation - w.padding for w in windows)
    step = 0
    for window in windows:
        step = gcd(step, -window.padding - first)
        step = step if window.size == 1 else gcd(step, window.dilation)
    step = step or 1
    return _Axis(-first, step, (last - first) // step + 1)


def _axis(conv: EquivalentConv, axis: int) -> _Axis:
    return _Axis(conv.padding[axis], conv.dilation[axis], conv.kernel.shape[2 + axis])


def _placed(kernel: Tensor, conv: EquivalentConv, axes: Sequence[_Axis]) -> Tensor:
    """The kernel within a wider window, zero elsewhere."""
    wide = kernel.new_zeros(*kernel.shape[:2], axes[0].size, axes[1].size)
    places = []
    for axis, common in enumerate(axes):
        own = _axis(conv, axis)
        start, step = (common.padding - own.padding) // common.dilation, 1
        if own.size > 1:
            step = own.dilation // common.dilation
        places.append(slice(start, start + (own.size - 1) * step + 1, step))
    wide[:, :, places[0], places[1]] = kernel
    return wide


def _require_same_sides(left: EquivalentConv, right: EquivalentConv) -> None:
    """Two maps that are added must have the same sides, whatever those of the input are."""
    surplus = [
        [2 * window.padding - window.dilation * (window.size - 1) for window in windows]
        for windows in ([_axis(one, axis) for axis in (0, 1)] for one in (left, right))
    ]
    shapes = [(one.inputs, one.outputs, one.stride, one.flat) for one in (left, right)]
    if shapes[0] != shapes[1] or surplus[0] != surplus[1]:
        raise NotAConvolutionError("a sum of maps of different sizes")


def _regrouped(conv: EquivalentConv, groups: int) -> Tensor:
    """The kernel in fewer groups: O x I / groups x kh x kw, zero between what was apart."""
    parts, inputs, window = conv.groups // groups, conv.kernel.shape[1], conv.kernel.shape[2:]
    if parts == 1:
        return conv.kernel
    small = conv.kernel.reshape(groups, parts, -1, inputs, *window)
    apart = torch.eye(parts, device=small.device, dtype=small.dtype)
    blocks = small[:, :, :, None] * apart[None, :, None, :, None, None, None]
    return blocks.reshape(conv.outputs, parts * inputs, *window)


def _after(second: EquivalentConv, first: EquivalentConv) -> EquivalentConv:
    """One done after the other, where one of them is a 1 x 1 convolution."""
    padded = second.padding != (0, 0) and first.bias is not None  # the padding has no bias
    if _is_pointwise(second):
        window = first
    elif _is_pointwise(first) and not padded:
        window = second
    else:
        raise NotAConvolutionError("a window of a convolved map", summed=first.branches > 1)
    groups = gcd(first.groups, second.groups)
    inner = _regrouped(first, groups).unflatten(0, (groups, -1))  # G x M / G x I / G x kh x kw
    outer = _regrouped(second, groups).unflatten(0, (groups, -1))  # G x O / G x M / G x kh x kw
    if window is first:
        kernel = torch.einsum("gom,gmihw->goihw", outer[..., 0, 0], inner)
    else:
        kernel = torch.einsum("gomhw,gmi->goihw", outer, inner[..., 0, 0])
    bias = second.bias
    if first.bias is not None:
        entering = first.bias.unflatten(0, (groups, -1))
        shift = torch.einsum("gomhw,gm->go", outer, entering).flatten()
        bias = shift if bias is None else bias + shift
    return EquivalentConv(
        kernel=kernel.flatten(0, 1),
        bias=bias,
        padding=window.padding,
        stride=window.stride,
        dilation=window.dilation,
        groups=groups,
        flat=first.flat,
        branches=first.branches,
        layers=first.layers | second.layers,
    )


def _is_pointwise(conv: EquivalentConv) -> bool:
    alike = conv.stride == (1, 1) and conv.padding == (0, 0)
    return alike and conv.kernel.shape[2:] == (1, 1)


def _by_channel(conv: EquivalentConv, value: Tensor | Number) -> Tensor:
    """A constant as one number for each channel."""
    if not isinstance(value, Tensor):
        return conv.kernel.new_full((conv.outputs,), value)
    shape = _channel_shape(conv)
    if value.numel() == 1:
        return value.reshape(1).to(conv.kernel.dtype).expand(conv.outputs)
    if value.shape not in (shape, (1, *shape)):
        raise NotAConvolutionError("a constant of another shape", summed=conv.branches > 1)
    return value.reshape(-1)


def _channel_shape(conv: EquivalentConv) -> tuple[int, ...]:
    return (conv.outputs,) if conv.flat else (conv.outputs, 1, 1)


def _pair(value: int | Sequence[int]) -> Pair:
    if isinstance(value, int):
        return value, value
    height, width = value if len(value) == 2 else (value[0], value[0])
    return height, width


def _padding(padding: int | str | Sequence[int], window: Pair, dilation: Pair) -> Pair:
    if not isinstance(padding, str):
        return _pair(padding)
    if padding == "valid":
        return 0, 0
    total = [step * (size - 1) for size, step in zip(window, dilation, strict=True)]
    if any(side % 2 for side in total):
        raise NotAConvolutionError("a padding that is wider on one side")
    return total[0] // 2, total[1] // 2
