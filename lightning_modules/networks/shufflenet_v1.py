"""ShuffleNet v1.

Zhang et al. 2018, "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile
Devices", section 3 and table 1. Parameter names are those of the published ImageNet checkpoints
of the imgclsmob model zoo, so that they load as they are.
"""

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from lightning_modules.errors import ConfigError

# Output channels of the three stages by number of groups, at width 1 (table 1).
STAGES = {
    1: (144, 288, 576),
    2: (200, 400, 800),
    3: (240, 480, 960),
    4: (272, 544, 1088),
    8: (384, 768, 1536),
}
STEM = 24  # output channels of the first convolution, at width 1


class ChannelShuffle(nn.Module):
    """Deals the channels of every group out to all groups (figure 1c)."""

    def __init__(self, *, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W -> the same, channels in another order."""
        return x.unflatten(1, (self.groups, -1)).transpose(1, 2).flatten(1, 2)  # N x C x H x W


class ShuffleUnit(nn.Module):
    """Grouped 1x1, shuffle, depthwise 3x3, grouped 1x1 (figure 2b; 2c with `stride` 2).

    With stride 2 the average-pooled input is concatenated instead of added, and the channels of
    the last convolution make up the difference.
    """

    def __init__(
        self, *, in_channels: int, out_channels: int, groups: int, stride: int, first_groups: int
    ) -> None:
        super().__init__()
        middle = out_channels // 4
        new = out_channels if stride == 1 else out_channels - in_channels
        conv = partial(nn.Conv2d, bias=False)
        self.compress_conv1 = conv(in_channels, middle, 1, groups=first_groups)
        self.compress_bn1 = nn.BatchNorm2d(middle)
        self.shuffle = ChannelShuffle(groups=groups)
        self.dw_conv2 = conv(middle, middle, 3, stride=stride, padding=1, groups=middle)
        self.dw_bn2 = nn.BatchNorm2d(middle)
        self.expand_conv3 = conv(middle, new, 1, groups=groups)
        self.expand_bn3 = nn.BatchNorm2d(new)
        self.pool = nn.AvgPool2d(3, stride=2, padding=1) if stride == 2 else None
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """N x `in_channels` x H x W -> N x `out_channels` x H/stride x W/stride."""
        y = self.relu(self.compress_bn1(self.compress_conv1(x)))
        y = self.dw_bn2(self.dw_conv2(self.shuffle(y)))
        y = self.expand_bn3(self.expand_conv3(y))
        return self.relu(y + x if self.pool is None else torch.cat((y, self.pool(x)), dim=1))


class Stem(nn.Module):
    """3x3 convolution and 3x3 max pooling, both with stride 2."""

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, stride=2, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised N x 3 x H x W -> N x C x H/4 x W/4."""
        return self.pool(self.relu(self.bn(self.conv(x))))  # N x C x H/4 x W/4


class ShuffleNetV1(nn.Module):
    """Normalised N x 3 x H x W -> logits N x `num_classes`; the last map is H/32 x W/32.

    Args:
        num_classes: outputs of the head.
        groups: of the 1x1 convolutions: 1, 2, 3, 4 or 8.
        width: factor on the channels of the paper.
        units: number of units in each of the three stages, each at least 1.
        head: `linear`, or `conv`: a 1x1 convolution without bias.

    Raises:
        ConfigError: one of these is impossible.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        groups: int = 3,
        width: float = 1.0,
        units: Sequence[int] = (4, 8, 4),
        head: str = "linear",
    ) -> None:
        super().__init__()
        _check(groups, units, head)
        stem, *stages = _channels(groups, width)
        self.features = nn.Sequential(OrderedDict(init_block=Stem(channels=stem)))
        previous = stem
        for number, (channels, count) in enumerate(zip(stages, units, strict=True), start=1):
            stage = nn.Sequential()
            for unit in range(1, count + 1):
                # The stem has too few channels to be grouped (section 3.2).
                first_groups = 1 if number == unit == 1 else groups
                stage.add_module(
                    f"unit{unit}",
                    ShuffleUnit(
                        in_channels=previous,
                        out_channels=channels,
                        groups=groups,
                        stride=2 if unit == 1 else 1,
                        first_groups=first_groups,
                    ),
                )
                previous = channels
            self.features.add_module(f"stage{number}", stage)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = head == "linear"  # also when a product of layers stands in for it
        self.output = (
            nn.Linear(previous, num_classes)
            if head == "linear"
            else nn.Conv2d(previous, num_classes, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Normalised N x 3 x H x W -> logits N x classes."""
        x = self.pool(self.features(x))  # N x C x 1 x 1
        x = x.flatten(1) if self.linear else x
        return self.output(x).flatten(1)  # N x classes


def _check(groups: int, units: Sequence[int], head: str) -> None:
    if groups not in STAGES:
        raise ConfigError(f"model.groups is one of {', '.join(map(str, STAGES))}, not {groups!r}.")
    if len(units) != 3 or not all(isinstance(n, int) and n >= 1 for n in units):
        raise ConfigError(
            f"model.units is three numbers of at least 1, one per stage, not {list(units)}."
        )
    if head not in ("linear", "conv"):
        raise ConfigError(f"model.head is linear or conv, not {head!r}.")


def _channels(groups: int, width: float) -> list[int]:
    """Output channels of the stem and the three stages."""
    stem, *stages = (round(channels * width) for channels in (STEM, *STAGES[groups]))
    if stem < 1 or stem % groups or any(channels % (4 * groups) for channels in stages):
        raise ConfigError(
            f"model.width={width} gives {stem} and {stages} channels, which {groups} groups cannot "
            f"share: the first must be a multiple of {groups}, the others of {4 * groups}."
        )
    return [stem, *stages]
