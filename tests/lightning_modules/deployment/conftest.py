"""Small networks for these tests, and exported files of one of them."""

import numpy as np
import pytest
import torch
from torch import nn

from lightning_modules.networks.network import Network, Pixels

CLASSES = ("blue", "green", "red")


def tiny(body: nn.Module | None = None, *, size=(12, 16), classes=CLASSES) -> Network:
    """A convolution and a linear layer on small images, in eval mode."""
    torch.manual_seed(0)
    if body is None:
        conv = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU())
        head = nn.Linear(8, len(classes))
        body = nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    network = Network(
        pixels=Pixels(),
        body=body,
        num_classes=len(classes),
        image_size=size,
        class_names=classes,
    )
    return network.eval()


class Airy(nn.Module):
    """An operation that ONNX and ExecuTorch lack."""

    def forward(self, x):
        return torch.special.airy_ai(x.mean((2, 3)))


@pytest.fixture
def images():
    """uint8 70 x 3 x 12 x 16: more than a batch."""
    return np.random.default_rng(1).integers(0, 256, (70, 3, 12, 16), dtype=np.uint8)


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Format name -> a file of `tiny()`, and what was said of it; each is written once."""
    from lightning_modules.deployment.exporting import export
    from lightning_modules.deployment.formats import format_named

    made = {}

    def of(name: str):
        if name not in made:
            form = format_named(name)
            path = tmp_path_factory.mktemp(name) / f"tiny{form.suffix}"
            noise = np.random.default_rng(0).integers(0, 256, (66, 3, 12, 16), dtype=np.uint8)
            made[name] = (
                path,
                export(tiny(), form, path, resize_mode="pad", images=noise, image_source="noise"),
            )
        return made[name]

    return of
