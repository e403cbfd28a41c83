"""Images of any number of channels are found out: by what the network's own layers take."""

import copy

import pytest
import torch
from torch import nn

from compression.cost.macs import count_macs
from compression.cost.meta_pass import forward_shapes, image_channels, output_shape, runnable_copy
from compression.errors import CompressionError


def classifier(*layers, width=8):
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 3))


class LateFirst(nn.Module):
    """Its last convolution is the first that it registers."""

    def __init__(self):
        super().__init__()
        self.late, self.early = nn.Conv2d(8, 3, 1), nn.Conv2d(3, 8, 3)

    def forward(self, images):
        return self.late(self.early(images)).mean((2, 3))


class ReadsValues(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 3, 3)

    def forward(self, images):
        return self.layer(images if images.mean() > 0 else -images).mean((2, 3))


@pytest.mark.parametrize(
    ("network", "channels", "macs"),
    [
        (classifier(nn.Conv2d(3, 8, 3)), 3, 100 * 8 * 27 + 24),
        (classifier(nn.Conv2d(1, 8, 3)), 1, 100 * 8 * 9 + 24),
        (classifier(nn.Conv2d(4, 8, 3)), 4, 100 * 8 * 36 + 24),
        (classifier(nn.Conv2d(13, 8, 1)), 13, 144 * 8 * 13 + 24),
        (nn.Sequential(nn.Flatten(), nn.Linear(144, 3)), 1, 432),
        (classifier(nn.PixelUnshuffle(2), nn.Conv2d(4, 8, 3)), 1, 16 * 8 * 36 + 24),
        (classifier(nn.LazyConv2d(8, 3)), 3, 100 * 8 * 27 + 24),
        (LateFirst(), 3, 100 * (8 * 27 + 24)),
        (ReadsValues(), 1, 100 * 27),
    ],
)
def test_channels_are_those_that_the_network_takes(network, channels, macs):
    assert image_channels(network, 12) == channels
    assert count_macs(network, 12) == macs
    assert output_shape(network, 12) == torch.Size([1, 3])
    assert forward_shapes(runnable_copy(network, 12), 12) == torch.Size([1, 3])


def test_a_failure_is_that_of_its_own_images():
    with pytest.raises(CompressionError, match="images of 4 x 4 pixels: .*Kernel size: .9 x 9"):
        count_macs(nn.Conv2d(1, 3, 9), 4)


def test_the_channels_of_an_image_are_found_once():
    passes = []
    network = classifier(nn.PixelUnshuffle(2), nn.Conv2d(12, 8, 3))
    network[0].register_forward_pre_hook(lambda _, inputs: passes.append(inputs[0].shape[1]))
    assert count_macs(network, 12) == count_macs(network, 12) == 16 * 8 * 108 + 24
    assert passes == [12, 12, 3, 3]  # on meta, then with values; the second count knows
    assert image_channels(copy.deepcopy(network), 12) == 3
