"""Inverted residuals of MobileNetV2 (arXiv 1801.04381) and MobileNetV3 (1905.02244)."""

from torch import Tensor, nn

from lightning_modules.networks.blocks.layers import ConvBN, hard_squeeze_excite
from lightning_modules.networks.blocks.registry import block
from lightning_modules.networks.blocks.scaling import make_divisible


@block(scaled=("out",), stride="first")
class InvertedResidualv2(nn.Module):
    """1x1 to `t` times the channels, depthwise 3x3, 1x1 without activation."""

    def __init__(self, in_channels: int, *, out: int, t: float, s: int) -> None:
        super().__init__()
        hidden = max(round(in_channels * t), 1)
        same = hidden == in_channels
        self.expand = nn.Identity() if same else ConvBN(in_channels, hidden, act="ReLU6")
        self.depthwise = ConvBN(hidden, hidden, 3, s=s, groups=hidden, act="ReLU6")
        self.project = ConvBN(hidden, out)
        self.attention: nn.Module = nn.Identity()  # see ECAInvertedResidualv2
        self.shortcut = s == 1 and in_channels == out
        self.out_channels = out

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W -> N x `out` x H/s x W/s."""
        y = self.attention(self.project(self.depthwise(self.expand(x))))
        return x + y if self.shortcut else y


@block(scaled=("out",), stride="first")
class InvertedResidualv3(nn.Module):
    """1x1 to `t` times the channels, depthwise k x k, squeeze-excite, 1x1 without activation.

    `se` and `hs` (hard-swish instead of ReLU) are 0 or 1.
    """

    def __init__(
        self, in_channels: int, *, k: int, t: float, out: int, se: bool, hs: bool, s: int
    ) -> None:
        super().__init__()
        hidden = make_divisible(in_channels * t)
        act = "Hardswish" if hs else "ReLU"
        same = hidden == in_channels
        self.expand = nn.Identity() if same else ConvBN(in_channels, hidden, act=act)
        self.depthwise = ConvBN(hidden, hidden, k, s=s, groups=hidden, act=act)
        self.attention = self._attention(hidden) if se else nn.Identity()
        self.project = ConvBN(hidden, out)
        self.shortcut = s == 1 and in_channels == out
        self.out_channels = out

    def _attention(self, hidden: int) -> nn.Module:
        return hard_squeeze_excite(hidden)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W -> N x `out` x H/s x W/s."""
        y = self.project(self.attention(self.depthwise(self.expand(x))))
        return x + y if self.shortcut else y
