import numpy as np
import pytest
from hydra.utils import instantiate


@pytest.fixture(params=["albumentations", "torchvision"])
def backend(request):
    return request.param


@pytest.fixture
def image():
    """Noise, so that every change shows."""
    return np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)


@pytest.fixture
def shipped(compose_config, homes):
    """Builds a recipe of conf/augment."""

    def build(option, *overrides):
        words = [f"augment={option}", *(f"augment.{override}" for override in overrides)]
        return instantiate(compose_config(*words).augment, _convert_="all")

    return build
