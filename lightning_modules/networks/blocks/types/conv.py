"""Plain convolutions: Conv, FixedConv, DWConv."""

import math

from lightning_modules.networks.blocks.layers import ConvBN
from lightning_modules.networks.blocks.registry import block


@block(scaled=("out",), stride="last")
class Conv(ConvBN):
    """Convolution without bias, BatchNorm, activation."""

    def __init__(
        self,
        in_channels: int,
        *,
        out: int,
        k: int,
        s: int = 1,
        pad: int | None = None,
        groups: int = 1,
        act: str | None = "ReLU",
    ) -> None:
        super().__init__(in_channels, out, k, s=s, pad=pad, groups=groups, act=act)


@block(stride="last")
class FixedConv(Conv):
    """A Conv whose channels no multiple changes, such as a head's."""

    def __init__(
        self,
        in_channels: int,
        *,
        out: int,
        k: int,
        s: int = 1,
        pad: int | None = None,
        groups: int = 1,
        act: str | None = "ReLU",
    ) -> None:
        super().__init__(in_channels, out=out, k=k, s=s, pad=pad, groups=groups, act=act)


@block(scaled=("out",), stride="last")
class DWConv(ConvBN):
    """A Conv with as many groups as in and out share: depthwise where they are equal."""

    def __init__(
        self,
        in_channels: int,
        *,
        out: int,
        k: int,
        s: int = 1,
        pad: int | None = None,
        act: str | None = "ReLU",
    ) -> None:
        super().__init__(
            in_channels, out, k, s=s, pad=pad, groups=math.gcd(in_channels, out), act=act
        )
