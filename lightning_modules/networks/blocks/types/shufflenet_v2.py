"""ShuffleNetV2, the unit of Ma et al. 2018 (arXiv 1807.11164)."""

import torch
from torch import Tensor, nn

from lightning_modules.errors import ConfigError
from lightning_modules.networks.blocks.layers import ConvBN
from lightning_modules.networks.blocks.registry import block
from lightning_modules.networks.shufflenet_v1 import ChannelShuffle


@block(stride="first")
class ShuffleNetV2(nn.Module):
    """Half of the channels pass by, the others are convolved; both are shuffled together.

    With stride 2 both branches see all channels, so that there are twice as many after it.
    """

    def __init__(self, in_channels: int, *, s: int) -> None:
        super().__init__()
        if s not in (1, 2):
            raise ConfigError(f"s is 1 or 2, not {s}.")
        if in_channels % 2:
            raise ConfigError(f"the {in_channels} channels that come in cannot be halved.")
        width = in_channels if s == 2 else in_channels // 2
        self.split = s == 1
        self.passing = nn.Identity() if self.split else nn.Sequential(*_depthwise(width, s))
        self.branch = nn.Sequential(ConvBN(width, width, act="ReLU"), *_depthwise(width, s))
        self.shuffle = ChannelShuffle(groups=2)
        self.out_channels = in_channels * s

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W -> N x C s x H/s x W/s."""
        kept, changed = x.chunk(2, dim=1) if self.split else (x, x)
        return self.shuffle(torch.cat((self.passing(kept), self.branch(changed)), dim=1))


def _depthwise(width: int, s: int) -> tuple[ConvBN, ConvBN]:
    """Depthwise 3x3 without activation, then 1x1."""
    return ConvBN(width, width, 3, s=s, groups=width), ConvBN(width, width, act="ReLU")
