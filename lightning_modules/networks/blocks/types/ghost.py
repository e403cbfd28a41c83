"""GhostBottleneck, the block of GhostNet (Han et al. 2020, arXiv 1911.11907)."""

import torch
from torch import Tensor, nn

from lightning_modules.networks.blocks.layers import ConvBN, hard_squeeze_excite
from lightning_modules.networks.blocks.registry import block
from lightning_modules.networks.blocks.scaling import make_divisible


class GhostConv(nn.Module):
    """Half the output by a 1x1 convolution, the other half from it by a depthwise 3x3."""

    def __init__(self, in_channels: int, out_channels: int, *, act: str | None) -> None:
        super().__init__()
        half = (out_channels + 1) // 2
        self.primary = ConvBN(in_channels, half, act=act)
        self.cheap = ConvBN(half, half, 3, groups=half, act=act)
        self.out_channels = out_channels

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W -> N x `out_channels` x H x W."""
        x = self.primary(x)
        return torch.cat((x, self.cheap(x)), dim=1)[:, : self.out_channels]


@block(scaled=("out",), stride="first")
class GhostBottleneck(nn.Module):
    """GhostConv to `t` times the channels, a strided depthwise k x k, squeeze-excite, GhostConv.

    Without stride there is no depthwise convolution between, and `k` is only the shortcut's: a
    depthwise k x k and a 1x1 wherever the input cannot be added as it is.
    """

    def __init__(self, in_channels: int, *, k: int, t: float, out: int, se: bool, s: int) -> None:
        super().__init__()
        hidden = make_divisible(in_channels * t)
        self.expand = GhostConv(in_channels, hidden, act="ReLU")
        self.depthwise = nn.Identity() if s == 1 else ConvBN(hidden, hidden, k, s=s, groups=hidden)
        self.attention = hard_squeeze_excite(hidden) if se else nn.Identity()
        self.project = GhostConv(hidden, out, act=None)
        self.shortcut: nn.Module
        if s == 1 and in_channels == out:
            self.shortcut = nn.Identity()
        else:
            across = ConvBN(in_channels, in_channels, k, s=s, groups=in_channels)
            self.shortcut = nn.Sequential(across, ConvBN(in_channels, out))
        self.out_channels = out

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W -> N x `out` x H/s x W/s."""
        y = self.attention(self.depthwise(self.expand(x)))
        return self.project(y) + self.shortcut(x)
