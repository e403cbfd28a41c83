"""What ends a network: Flatten, Linear, Dropout."""

from torch import nn

from lightning_modules.networks.blocks.activations import activation
from lightning_modules.networks.blocks.registry import FLAT, MAP, POINT, block


@block(takes=(POINT,), gives=FLAT)
class Flatten(nn.Flatten):
    """N x C x 1 x 1 -> N x C."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.out_channels = in_channels


@block(takes=(FLAT,))
class Linear(nn.Sequential):
    """A fully connected layer with bias, and an activation where one is named."""

    def __init__(self, in_channels: int, *, out: int, act: str | None = None) -> None:
        super().__init__()
        self.add_module("linear", nn.Linear(in_channels, out))
        self.add_module("act", activation(act))
        self.out_channels = out


@block(takes=(MAP, POINT, FLAT))
class Dropout(nn.Dropout):
    """Each value is dropped with probability `p` while training."""

    def __init__(self, in_channels: int, *, p: float) -> None:
        super().__init__(p)
        self.out_channels = in_channels
