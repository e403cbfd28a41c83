"""Small networks and saved runs for these tests."""

import pytest
import torch
from omegaconf import OmegaConf

from lightning_modules.config.options import option_values
from lightning_modules.networks import build_network


@pytest.fixture
def model_cfg():
    """The node of an option of conf/model, with changes."""

    def loaded(option: str = "shufflenet_g3", **changes):
        values = option_values("model", option)
        return OmegaConf.merge(values, changes)

    return loaded


@pytest.fixture
def network(model_cfg):
    """A small ShuffleNet with class names, three classes, 32 x 48 pixels."""
    torch.manual_seed(0)
    network = build_network(model_cfg(units=[1, 1, 1]), num_classes=3, image_size=[32, 48])
    network.class_names = ("blue", "green", "red")
    return network.eval()


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (4, 3, 32, 48), dtype=torch.uint8, generator=generator)
