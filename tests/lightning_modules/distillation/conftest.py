"""A small image folder's data, and frozen teachers."""

import pytest
import torch
from torch import nn

from datamodules.augmentation import Recipe
from datamodules.loading import ImageData
from datamodules.sources import ImageFolder
from lightning_modules.distillation.teachers import Teacher


def body(classes=3, width=8):
    """A network with two named maps."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2 * width, classes),
    )


class Pixels(nn.Module):
    """uint8 to floating, as the first layer of every network does."""

    def forward(self, images):
        return images.float() / 255


@pytest.fixture
def make_network():
    def make(seed=0, **settings):
        torch.manual_seed(seed)
        return nn.Sequential(Pixels(), *body(**settings))

    return make


@pytest.fixture
def make_teacher(make_network):
    def make(name="a", seed=1, width=12, **settings):
        network = make_network(seed=seed, width=width).eval().requires_grad_(False)
        return Teacher(name, network, **settings)

    return make


@pytest.fixture
def make_data(folder, tmp_path):
    def make(root=None, *, scale=0.5, **settings):
        data = ImageData(
            source=ImageFolder(root=str(root or folder)),
            augmentation=Recipe(image_size=16, crop_scale=[scale, 1.0]),
            image_size=16,
            cache_dir=str(tmp_path / "cache"),
            num_workers=0,
            **{"batch_size": 10, **settings},
        )
        data.prepare_data()
        data.setup()
        return data

    return make
