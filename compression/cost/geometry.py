"""What a convolution or Linear does with its input, and its MACs: of one layer or of a product."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

import torch
from torch import nn

Layer = nn.Conv2d | nn.Linear | nn.Sequential
Plain = nn.Conv2d | nn.Linear
PLAIN = (nn.Conv2d, nn.Linear)
PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]
HEIGHT, WIDTH = 0, 1


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """The geometry of a layer; pairs are (height, width), and a Linear is a 1x1 convolution.

    Attributes:
        inputs: channels in, of all groups.
        outputs: channels out, of all groups.
        padding: a pair, or `same`.
        linear: whether the factors are Linear layers too.
    """

    inputs: int
    outputs: int
    groups: int = 1
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] | str = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    padding_mode: PaddingMode = "zeros"
    bias: bool
    linear: bool = False
    device: torch.device
    dtype: torch.dtype

    @classmethod
    def of(cls, layer: Layer, device: torch.device | str | None = None) -> "Geometry":
        """The geometry of a layer, or of the layer that a product stands for.

        Args:
            layer: stays as it is.
            device: where layers of this geometry are made; None: where `layer` is.
        """
        factors = factors_of(layer)
        last = factors[-1]
        device = last.weight.device if device is None else torch.device(device)
        bias, dtype = last.bias is not None, last.weight.dtype
        convs = [factor for factor in factors if isinstance(factor, nn.Conv2d)]
        if not convs:
            sides = [(factor.in_features, factor.out_features) for factor in _linears(factors)]
            return cls(
                inputs=sides[0][0],
                outputs=sides[-1][1],
                linear=True,
                bias=bias,
                device=device,
                dtype=dtype,
            )
        pads = [conv.padding for conv in convs if conv.padding not in ("valid", (0, 0))]
        pairs = [pad for pad in pads if not isinstance(pad, str)]
        modes = [conv.padding_mode for conv in convs if conv.padding_mode != "zeros"]
        return cls(
            inputs=convs[0].in_channels,
            outputs=convs[-1].out_channels,
            groups=convs[0].groups,
            kernel=_largest([conv.kernel_size for conv in convs]),
            stride=_largest([conv.stride for conv in convs]),
            padding="same" if "same" in pads else _largest([(0, 0), *pairs]),
            dilation=_largest([conv.dilation for conv in convs]),
            padding_mode=modes[0] if modes else "zeros",
            bias=bias,
            device=device,
            dtype=dtype,
        )

    @property
    def group_inputs(self) -> int:
        """Channels into one group."""
        return self.inputs // self.groups

    @property
    def group_outputs(self) -> int:
        """Channels out of one group."""
        return self.outputs // self.groups

    def factor(
        self,
        inputs: int,
        outputs: int,
        *,
        over: tuple[int, ...] = (),
        groups: int | None = None,
        last: bool = False,
    ) -> nn.Conv2d | nn.Linear:
        """An empty layer that does this layer's sliding along some axes.

        Args:
            inputs: channels in.
            outputs: channels out.
            over: axes along which it has the window, stride, padding and dilation.
            groups: None for those of this layer.
            last: whether it carries the bias.
        """
        bias = self.bias and last
        if self.linear:
            return nn.Linear(inputs, outputs, bias=bias, device=self.device, dtype=self.dtype)

        def along(pair: tuple[int, int], otherwise: int) -> tuple[int, int]:
            height, width = (v if axis in over else otherwise for axis, v in enumerate(pair))
            return height, width

        padding = self.padding if isinstance(self.padding, str) else along(self.padding, 0)
        return nn.Conv2d(
            inputs,
            outputs,
            along(self.kernel, 1),
            stride=along(self.stride, 1),
            padding=padding if over else 0,
            dilation=along(self.dilation, 1),
            groups=self.groups if groups is None else groups,
            padding_mode=self.padding_mode if over else "zeros",
            bias=bias,
            device=self.device,
            dtype=self.dtype,
        )


def factors_of(layer: Layer) -> list[Plain]:
    """The layers of a product in their order, or the one layer.

    Raises:
        TypeError: a product of other layers.
    """
    if not isinstance(layer, nn.Sequential):
        return [layer]
    found: list[Plain] = []
    for factor in layer:
        if not isinstance(factor, nn.Conv2d | nn.Linear):
            raise TypeError(f"A product has convolutions and Linear layers, not {factor}.")
        found.append(factor)
    return found


def layer_macs(layer: Layer, shape: Sequence[int]) -> int:
    """Multiply-accumulates for one input of `shape` (N x C x H x W; ... x features of a Linear).

    The same as `compression.cost.macs.module_macs`, some hundred times faster.
    """
    macs = 0
    for factor in factors_of(layer):
        shape = output_shape(factor, shape)
        places = prod(shape[:-1]) if isinstance(factor, nn.Linear) else prod(shape) // shape[1]
        macs += places * factor.weight.numel()
    return macs


def output_shape(layer: nn.Conv2d | nn.Linear, shape: Sequence[int]) -> tuple[int, ...]:
    """Of a layer's output, for one input of `shape`."""
    if isinstance(layer, nn.Linear):
        return (*shape[:-1], layer.out_features)
    if layer.padding == "same":
        return (shape[0], layer.out_channels, *shape[2:])
    padding = (0, 0) if isinstance(layer.padding, str) else layer.padding
    sides = [
        (side + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
        for side, pad, dilation, kernel, stride in zip(
            shape[2:], padding, layer.dilation, layer.kernel_size, layer.stride, strict=True
        )
    ]
    return (shape[0], layer.out_channels, *sides)


def signature(layer: nn.Module) -> list[tuple]:
    """All that tells two layers or products apart, but for their weights."""
    factors = list(layer) if isinstance(layer, nn.Sequential) else [layer]
    return [_signature(factor) for factor in factors]


def _signature(layer: nn.Module) -> tuple:
    if type(layer) is nn.Linear:
        return nn.Linear, layer.in_features, layer.out_features, layer.bias is None
    if type(layer) is not nn.Conv2d:
        return (type(layer),)
    names = ("kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
    sizes = (layer.in_channels, layer.out_channels, layer.bias is None)
    return nn.Conv2d, *sizes, *(getattr(layer, name) for name in names)


def _linears(factors: Sequence[Plain]) -> list[nn.Linear]:
    return [factor for factor in factors if isinstance(factor, nn.Linear)]


def _largest(pairs: Sequence[tuple[int, ...]]) -> tuple[int, int]:
    height, width = (max(axis) for axis in zip(*pairs, strict=True))
    return height, width
