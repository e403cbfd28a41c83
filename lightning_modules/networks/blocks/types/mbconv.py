"""MBConv of EfficientNet (arXiv 1905.11946) and FusedMBConv of EfficientNetV2 (2104.00298)."""

from torch import Tensor, nn

from lightning_modules.errors import ConfigError
from lightning_modules.networks.blocks.layers import ConvBN, SqueezeExcite
from lightning_modules.networks.blocks.registry import block


@block(scaled=("out",), stride="first")
class MBConv(nn.Module):
    """1x1 to `t` times the channels, depthwise k x k, squeeze-excite, 1x1 without activation.

    The squeeze-excite has a quarter of the block's input channels, not of the hidden ones, and a
    module for its pooling: the 2021 leaderboard counted it.
    """

    def __init__(self, in_channels: int, *, t: float, out: int, s: int, k: int) -> None:
        super().__init__()
        hidden = max(round(in_channels * t), 1)
        same = hidden == in_channels
        self.expand = nn.Identity() if same else ConvBN(in_channels, hidden, act="Swish")
        self.depthwise = ConvBN(hidden, hidden, k, s=s, groups=hidden, act="Swish")
        width = max(in_channels // 4, 1)
        pool = nn.AdaptiveAvgPool2d(1)
        self.attention = SqueezeExcite(hidden, width, act="Swish", gate="Sigmoid", pool=pool)
        self.project = ConvBN(hidden, out)
        self.shortcut = s == 1 and in_channels == out
        self.out_channels = out

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W -> N x `out` x H/s x W/s."""
        y = self.project(self.attention(self.depthwise(self.expand(x))))
        return x + y if self.shortcut else y


@block(scaled=("out",), stride="first")
class FusedMBConv(nn.Module):
    """k x k to `t` times the channels, 1x1 without activation, also where `t` is 1.

    Without squeeze-excite, as the paper's networks have it. `project=false` leaves out the 1x1
    where `t` is 1, as the paper does.
    """

    def __init__(
        self, in_channels: int, *, t: float, out: int, s: int, k: int, project: bool = True
    ) -> None:
        super().__init__()
        hidden = max(round(in_channels * t), 1)
        if not project and hidden != in_channels:
            raise ConfigError(f"project is false only where t is 1, not {t}.")
        self.expand = ConvBN(in_channels, hidden if project else out, k, s=s, act="Swish")
        self.project = ConvBN(hidden, out) if project else nn.Identity()
        self.shortcut = s == 1 and in_channels == out
        self.out_channels = out

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W -> N x `out` x H/s x W/s."""
        y = self.project(self.expand(x))
        return x + y if self.shortcut else y
