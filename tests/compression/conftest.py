"""A small plain network, a sample and batches for these tests."""

import pytest
import torch
from torch import nn

from compression import Context


def small_network() -> nn.Module:
    """Plain PyTorch, floating input, a stem, a strided and a grouped convolution."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 24, 3, stride=2, padding=1, padding_mode="reflect"),
        nn.BatchNorm2d(24),
        nn.ReLU(),
        nn.Conv2d(24, 24, 3, groups=24),
        nn.Conv2d(24, 12, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 3),
    )


@pytest.fixture
def network():
    torch.manual_seed(0)
    return small_network().eval()


@pytest.fixture
def sample():
    return torch.rand(4, 3, 20, 28, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def context(sample):
    return Context(sample=sample, image_size=(20, 28))
