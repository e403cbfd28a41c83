"""The unit of ShuffleNetV2 (Ma et al. 2018, arXiv 1807.11164), under two names."""

import torch
from torch import Tensor, nn

from lightning_modules.errors import ConfigError
from lightning_modules.networks.blocks.layers import ConvBN
from lightning_modules.networks.blocks.registry import block
from lightning_modules.networks.shufflenet_v1 import ChannelShuffle


class _Unit(nn.Module):
    """Half of the channels pass by, the others are convolved; both are shuffled together.

    With stride 2 both branches see all channels, and each gives half of those that come out.
    """

    def __init__(self, in_channels: int, out: int, s: int) -> None:
        super().__init__()
        if s not in (1, 2):
            raise ConfigError(f"s is 1 or 2, not {s}.")
        if s == 1 and out != in_channels:
            raise ConfigError(
                f"with s=1 as many channels go out as come in, {in_channels}, not {out}."
            )
        if out % 2:
            raise ConfigError(f"{out} channels cannot be halved.")
        width = out // 2
        self.split = s == 1
        self.passing = nn.Identity() if self.split else _depthwise(in_channels, width, s)
        entering = width if self.split else in_channels
        self.branch = nn.Sequential(
            ConvBN(entering, width, act="ReLU"), *_depthwise(width, width, s)
        )
        self.shuffle = ChannelShuffle(groups=2)
        self.out_channels = out

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W -> N x `out` x H/s x W/s."""
        kept, changed = x.chunk(2, dim=1) if self.split else (x, x)
        return self.shuffle(torch.cat((self.passing(kept), self.branch(changed)), dim=1))


@block(stride="first")
class ShuffleNetV2(_Unit):
    """The unit with `s` times the channels that come in."""

    def __init__(self, in_channels: int, *, s: int) -> None:
        if in_channels % 2 and s in (1, 2):
            raise ConfigError(f"the {in_channels} channels that come in cannot be halved.")
        super().__init__(in_channels, in_channels * s, s)


@block(scaled=("out",), stride="first")
class InvertedResidual(_Unit):
    """The unit with `out` channels, under torchvision's name; `k` and `t` are read and unused."""

    def __init__(self, in_channels: int, *, k: int, t: float, out: int, s: int) -> None:
        super().__init__(in_channels, out, s)


def _depthwise(in_channels: int, width: int, s: int) -> nn.Sequential:
    """Depthwise 3x3 without activation, then 1x1."""
    depthwise = ConvBN(in_channels, in_channels, 3, s=s, groups=in_channels)
    return nn.Sequential(depthwise, ConvBN(in_channels, width, act="ReLU"))
