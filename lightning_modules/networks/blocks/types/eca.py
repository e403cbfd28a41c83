"""Blocks with efficient channel attention (ECA-Net, Wang et al. 2020, arXiv 1910.03151)."""

from torch import nn

from lightning_modules.networks.blocks.layers import ChannelAttention
from lightning_modules.networks.blocks.registry import block
from lightning_modules.networks.blocks.types.bottleneck import Bottleneck
from lightning_modules.networks.blocks.types.inverted_residual import (
    InvertedResidualv2,
    InvertedResidualv3,
)


@block(scaled=("out",))
class ECABottleneck(Bottleneck):
    """A Bottleneck with channel attention after its second convolution."""

    def __init__(
        self,
        in_channels: int,
        *,
        out: int,
        shortcut: bool = True,
        groups: int = 1,
        expansion: float = 0.5,
        act: str | None = "ReLU",
    ) -> None:
        super().__init__(
            in_channels, out=out, shortcut=shortcut, groups=groups, expansion=expansion, act=act
        )
        self.attention = ChannelAttention(out)


@block(scaled=("out",), stride="first")
class ECAInvertedResidualv2(InvertedResidualv2):
    """An InvertedResidualv2 with channel attention after its last convolution."""

    def __init__(self, in_channels: int, *, out: int, t: float, s: int) -> None:
        super().__init__(in_channels, out=out, t=t, s=s)
        self.attention = ChannelAttention(out)


@block(scaled=("out",), stride="first")
class ECAInvertedResidualv3(InvertedResidualv3):
    """An InvertedResidualv3 whose `se` is channel attention instead of squeeze-excite."""

    def __init__(
        self, in_channels: int, *, k: int, t: float, out: int, se: bool, hs: bool, s: int
    ) -> None:
        super().__init__(in_channels, k=k, t=t, out=out, se=se, hs=hs, s=s)

    def _attention(self, hidden: int) -> nn.Module:
        return ChannelAttention(hidden)
