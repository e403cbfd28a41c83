import pytest
import torch
from torchvision.transforms.v2.functional import normalize, resize

from lightning_modules.errors import ConfigError
from lightning_modules.networks.network import IMAGENET_MEAN, IMAGENET_STD, Pixels


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
