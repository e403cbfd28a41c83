"""Fire, the block of SqueezeNet (arXiv 1602.07360)."""

import torch
from torch import Tensor, nn

from lightning_modules.networks.blocks.registry import block


@block()
class Fire(nn.Module):
    """1x1 to few channels, then 1x1 and 3x3 side by side; with bias and without BatchNorm."""

    def __init__(self, in_channels: int, *, squeeze: int, expand1x1: int, expand3x3: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(in_channels, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand1x1, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand3x3, 3, padding=1)
        self.act = nn.ReLU()
        self.out_channels = expand1x1 + expand3x3

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W -> N x (`expand1x1` + `expand3x3`) x H x W."""
        x = self.act(self.squeeze(x))
        return self.act(torch.cat((self.expand1x1(x), self.expand3x3(x)), dim=1))
