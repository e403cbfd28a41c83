"""Bottleneck: 1x1 to a fraction of the output, 3x3 back."""

from torch import Tensor, nn

from lightning_modules.networks.blocks.layers import ConvBN
from lightning_modules.networks.blocks.registry import block


@block(scaled=("out",))
class Bottleneck(nn.Module):
    """Added to its input where the channels agree and `shortcut` allows it.

    `expansion` is the fraction of the output's channels between the two convolutions.
    """

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
        super().__init__()
        hidden = max(int(out * expansion), 1)
        self.reduce = ConvBN(in_channels, hidden, act=act)
        self.expand = ConvBN(hidden, out, 3, groups=groups, act=act)
        self.attention: nn.Module = nn.Identity()  # see ECABottleneck
        self.shortcut = bool(shortcut) and in_channels == out
        self.out_channels = out

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W -> N x `out` x H x W."""
        y = self.attention(self.expand(self.reduce(x)))
        return x + y if self.shortcut else y
