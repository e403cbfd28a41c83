"""Code of a module run on a convolution in the place of its feature map.

A `TracedConv` is passed through a module's own `forward`, and comes out as the kernel and bias of
the whole. So nothing needs to be known of a class: whatever its code does with the map is either
taken into the kernel or refused.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from compression.merging.equivalent_conv import (
    EquivalentConv,
    LayerCall,
    NotAConvolutionError,
    Pair,
    added,
    channel_shape,
    following,
    multiplied,
)


@dataclass(eq=False)
class TracedConv(EquivalentConv):
    """An `EquivalentConv` that PyTorch's functions and operators can be given like a tensor.

    Attributes:
        untouched: whether it is the input as it came in.
        made_by: the member of the module whose whole output it is, given the untouched input.
    """

    untouched: bool = False
    made_by: str | None = None

    @classmethod
    def of_input(
        cls, channels: int, *, flat: bool, device: torch.device, dtype: torch.dtype
    ) -> "TracedConv":
        """What leaves its input as it is."""
        kernel = torch.ones(channels, 1, 1, 1, device=device, dtype=dtype)
        return cls(kernel, None, groups=channels, flat=flat, untouched=True)

    def changed(self, **fields: Any) -> Self:
        """The same computation with more done to it."""
        return super().changed(untouched=False, made_by=None, **fields)

    @property
    def ndim(self) -> int:
        """Of the map that it stands for."""
        return 2 if self.flat else 4

    def dim(self) -> int:
        """As of a tensor."""
        return self.ndim

    def contiguous(self, **_: Any) -> "TracedConv":
        """Itself, as all that asks only for a layout in memory."""
        return self

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Any],
        types: Sequence[type],
        arguments: Sequence[Any] = (),
        settings: Mapping[str, Any] | None = None,
    ) -> "TracedConv":
        """What PyTorch calls where one of these is given to a function of its own."""
        name = getattr(function, "__name__", "").strip("_")
        found = FUNCTIONS.get(name)
        if found is None:
            given = [a for a in arguments if isinstance(a, TracedConv)]
            raise NotAConvolutionError(name, summed=any(one.branches > 1 for one in given))
        return found(*arguments, **(settings or {}))

    def __getitem__(self, places: Any) -> "TracedConv":
        """Every n-th row and m-th column: a convolution with that stride."""
        *before, rows, columns = places
        steps = [axis.step or 1 for axis in (rows, columns)]
        whole = before in ([Ellipsis], [slice(None), slice(None)])
        if self.flat or not whole or any(a != slice(None, None, a.step) for a in (rows, columns)):
            raise NotAConvolutionError("a part of the map", summed=self.branches > 1)
        stride = (self.stride[0] * steps[0], self.stride[1] * steps[1])
        return self.changed(stride=stride)

    def __add__(self, other: Any) -> "TracedConv":
        """See `added`."""
        return added(self, other)

    def __sub__(self, other: Any) -> "TracedConv":
        """The sum with the negative."""
        return added(self, multiplied(other, -1))

    def __mul__(self, other: Any) -> "TracedConv":
        """See `multiplied`."""
        return multiplied(self, other)

    def __truediv__(self, other: Any) -> "TracedConv":
        """By a number, or a number for each channel."""
        return multiplied(self, 1 / other)

    def __neg__(self) -> "TracedConv":
        """Times -1."""
        return multiplied(self, -1)

    def __rsub__(self, other: Any) -> "TracedConv":
        """The negative, and what it is taken from."""
        return added(multiplied(self, -1), other)

    __radd__ = add = __add__
    __rmul__ = mul = __mul__
    sub, div = __sub__, __truediv__

    # A map that is changed in place is changed under all of its names.
    def __iadd__(self, other: Any) -> "TracedConv":
        """The sum in its place."""
        return self._become(self + other)

    def __isub__(self, other: Any) -> "TracedConv":
        """The difference in its place."""
        return self._become(self - other)

    def __imul__(self, other: Any) -> "TracedConv":
        """The product in its place."""
        return self._become(self * other)

    def __itruediv__(self, other: Any) -> "TracedConv":
        """The quotient in its place."""
        return self._become(self / other)

    add_, sub_, mul_, div_ = __iadd__, __isub__, __imul__, __itruediv__

    def _become(self, other: "TracedConv") -> "TracedConv":
        vars(self).update({**vars(other), "made_by": None, "untouched": False})
        return self


def conv2d(
    input: TracedConv,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | str | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> TracedConv:
    """A convolution of the input, or of what it became where one of both is 1 x 1."""
    if not isinstance(input, TracedConv) or input.flat or weight.ndim != 4:
        raise NotAConvolutionError("a convolution of something else")
    window = (weight.shape[2], weight.shape[3])
    dilation = _pair(dilation)
    found = TracedConv(
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
    return found if input.untouched else following(found, input)


def linear(input: TracedConv, weight: Tensor, bias: Tensor | None = None) -> TracedConv:
    """A Linear of N x C."""
    if not isinstance(input, TracedConv) or not input.flat:
        raise NotAConvolutionError("a Linear of a map")
    kernel = weight[:, :, None, None]
    layers = frozenset([LayerCall(weight.numel())])
    found = TracedConv(kernel, bias, flat=True, layers=layers)
    return found if input.untouched else following(found, input)


def batch_norm(
    input: TracedConv,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> TracedConv:
    """By the running statistics."""
    if training or running_mean is None or running_var is None:
        raise NotAConvolutionError("a BatchNorm of each batch", summed=input.branches > 1)
    scale = (running_var + eps).rsqrt()
    scale = scale if weight is None else scale * weight
    shift = -running_mean * scale if bias is None else bias - running_mean * scale
    scaled = multiplied(input, scale.reshape(channel_shape(input)))
    return added(scaled, shift.reshape(channel_shape(input)))


def dropout(
    input: TracedConv, p: float = 0.5, training: bool = True, inplace: bool = False
) -> TracedConv:
    """Nothing in evaluation."""
    if training:
        raise NotAConvolutionError("dropout in training")
    return input


FUNCTIONS: Mapping[str, Callable[..., TracedConv]] = {
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
