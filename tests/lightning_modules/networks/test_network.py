import pytest
import torch
from torch import nn
from torchvision.transforms.v2.functional import normalize, resize

from compression import CompressionError
from lightning_modules.errors import ConfigError
from lightning_modules.networks.network import IMAGENET_MEAN, IMAGENET_STD, Network, Pixels


def test_normalises_as_torchvision_does(images):
    expected = normalize(images / 255, list(IMAGENET_MEAN), list(IMAGENET_STD))
    torch.testing.assert_close(Pixels()(images), expected)
    torch.testing.assert_close(Pixels()(images.double()), expected)


def test_resizes_inside(images):
    expected = resize(images.float(), [20, 24], antialias=True)
    pixels = Pixels(mean=(0, 0, 0), std=(1 / 255,) * 3, resize_to=[20, 24])
    torch.testing.assert_close(pixels(images), expected)


def test_keeps_channels_last(images):
    out = Pixels()(images.contiguous(memory_format=torch.channels_last))
    assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("wrong", [{"mean": (0.5,)}, {"std": (1, 0, 1)}, {"resize_to": 0}])
def test_refuses_impossible_settings(wrong):
    with pytest.raises(ConfigError):
        Pixels(**wrong)


def network(**settings):
    body = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Network(pixels=Pixels(**settings), body=body, num_classes=3, image_size=(8, 6)).eval()


@pytest.mark.parametrize("shape", [(2, 1, 8, 6), (2, 4, 8, 6), (3, 8, 6)])
def test_images_of_other_channels_are_refused(shape):
    with pytest.raises(CompressionError, match=r"takes a batch of images, N x 3 x H x W, not"):
        network()(torch.zeros(shape))


def test_the_size_is_checked_once_it_is_fixed(images):
    made = network()
    assert made(images).shape == (len(images), 3)  # while it is built and trained
    made.any_size = False
    assert made(torch.zeros(1, 3, 8, 6)).shape == (1, 3)
    with pytest.raises(CompressionError, match=r"8 x 6 pixels \(H x W\), not 6 x 8: resize them"):
        made(torch.zeros(1, 3, 6, 8))
    assert made.train()(torch.zeros(1, 3, 6, 8)).shape == (1, 3)
    assert made.eval().to("meta")(torch.zeros(1, 3, 6, 8, device="meta")).shape == (1, 3)


def test_a_network_that_resizes_takes_any_size():
    made = network(resize_to=4)
    made.any_size = False
    assert made(torch.zeros(1, 3, 6, 8)).shape == (1, 3)


def test_the_check_is_no_part_of_a_graph():
    made = network()
    made.any_size = False
    free = {0: torch.export.Dim("batch"), 2: torch.export.Dim("height")}
    program = torch.export.export(made, (torch.zeros(2, 3, 8, 6),), dynamic_shapes=(free,))
    assert program.module()(torch.zeros(5, 3, 9, 6)).shape == (5, 3)
