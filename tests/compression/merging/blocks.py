"""Blocks with parallel branches, written in several ways, and statistics for their BatchNorm."""

import torch
from torch import nn
from torch.nn import functional as F


def settle(network: nn.Module, seed: int = 0) -> nn.Module:
    """Random statistics and scales in every BatchNorm, in evaluation."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(module.bias, 0, 0.3, generator=generator)
    return network.eval()


class Branches(nn.Module):
    """k x k convolutions, 1 x 1, and the input where it fits, each with BatchNorm; then ReLU."""

    def __init__(
        self, inputs, outputs, kernels=(3, 1), *, stride=1, groups=1, dilation=1, act=True
    ):
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(
                    *(inputs, outputs, kernel, stride, kernel // 2 * dilation),
                    dilation=dilation if kernel > 1 else 1,
                    groups=groups,
                    bias=kernel == 1,
                ),
                nn.BatchNorm2d(outputs),
            )
            for kernel in kernels
        )
        self.norm = nn.BatchNorm2d(inputs) if inputs == outputs and stride == 1 else None
        self.act = nn.ReLU() if act else nn.Identity()

    def forward(self, x):
        y = 0
        for conv in self.convs:
            y += conv(x)
        return self.act(y if self.norm is None else y + self.norm(x))


class InPlace(nn.Module):
    """Writes into the map that it was given, which the sum reads afterwards."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.gamma = nn.Parameter(torch.linspace(0.5, 1.5, channels).reshape(-1, 1, 1))

    def forward(self, x):
        x = x * 2
        kept = x
        x += self.conv(x / 2).mul_(self.gamma)
        return self.gamma * x - kept + 0.5


class InFunction(nn.Module):
    """The sum goes into a function."""

    def __init__(self, channels):
        super().__init__()
        self.left, self.right = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return F.relu(self.left(x) + self.right(x))


class Costlier(nn.Module):
    """Depthwise beside 1 x 1: one convolution of both would be a dense one."""

    def __init__(self, channels):
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.dense = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return self.depthwise(x) + self.dense(x)


class TwoHeads(nn.Module):
    """The mean of two heads of features, as a distilled classifier has it."""

    def __init__(self, features, classes):
        super().__init__()
        self.norm = nn.BatchNorm1d(features)
        self.head, self.other = (
            nn.Linear(features, classes),
            nn.Linear(features, classes, bias=False),
        )

    def forward(self, x):
        return (self.head(self.norm(x)) + self.other(x)) / 2


def network_of(*blocks):
    """float32 N x 3 x H x W -> N x 4; the blocks keep 8 channels."""
    torch.manual_seed(0)
    stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)]
    return settle(nn.Sequential(stem, nn.Sequential(*blocks), *head))
