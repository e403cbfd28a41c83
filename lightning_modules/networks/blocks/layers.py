"""What several kinds are made of."""

import math

from torch import Tensor, nn

from lightning_modules.networks.blocks.activations import activation
from lightning_modules.networks.blocks.scaling import make_divisible


class ConvBN(nn.Sequential):
    """Convolution without bias, BatchNorm, activation; `pad` 0 or None means k // 2."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        k: int = 1,
        *,
        s: int = 1,
        pad: int | None = None,
        groups: int = 1,
        act: str | None = None,
    ) -> None:
        super().__init__()
        pad = pad or k // 2
        conv = nn.Conv2d(in_channels, out_channels, k, s, pad, groups=groups, bias=False)
        self.add_module("conv", conv)
        self.add_module("bn", nn.BatchNorm2d(out_channels))
        self.add_module("act", activation(act))
        self.out_channels = out_channels
        self.min_side = k - 2 * pad  # of the incoming map, in pixels


class SqueezeExcite(nn.Module):
    """Scales every channel by what all channels' means say (Hu et al. 2018, arXiv 1709.01507).

    Args:
        channels: in and out.
        width: of the layer between.
        act: after the first layer.
        gate: after the second.
        pool: N x C x H x W -> N x C x 1 x 1 as a module, which the 2021 leaderboard counts; None:
            a functional mean, which it does not.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        *,
        act: str = "ReLU",
        gate: str,
        pool: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.pool = pool
        self.reduce = nn.Linear(channels, width)
        self.act = activation(act)
        self.expand = nn.Linear(width, channels)
        self.gate = activation(gate)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W -> the same, each channel times its gate."""
        mean = x.mean((2, 3)) if self.pool is None else self.pool(x).flatten(1)
        y = self.act(self.reduce(mean))  # N x width
        return x * self.gate(self.expand(y)).unflatten(1, (-1, 1, 1))


def hard_squeeze_excite(channels: int) -> SqueezeExcite:
    """With a hard sigmoid and a quarter of the channels, as MobileNetV3 and GhostNet have it."""
    return SqueezeExcite(channels, make_divisible(channels // 4), gate="Hardsigmoid")


class ChannelAttention(nn.Module):
    """Scales every channel by what its neighbours' means say (ECA; Wang et al. 2020, 1910.03151).

    One convolution along the channels; its kernel grows with the logarithm of their number.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        kernel = int(abs(math.log2(channels) / 2 + 0.5)) | 1  # odd
        self.conv = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W -> the same, each channel times its gate."""
        y = self.conv(x.mean((2, 3)).unsqueeze(1))  # N x 1 x C
        return x * self.gate(y).transpose(1, 2).unsqueeze(3)
