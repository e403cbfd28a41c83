"""Nodes of conf/model, and an independent reference for pruned networks."""

import copy

import pytest
import torch
from torch import nn

from tests.lightning_modules.networks.conftest import model_cfg

__all__ = ["model_cfg"]


def silenced(network: nn.Module, plan: dict) -> nn.Module:
    """The whole network with nothing read from the channels that the plan takes out.

    Where no operator mixes channels by itself, its outputs are those of the pruned network.
    """
    twin = copy.deepcopy(network)
    weights = dict(twin.named_parameters())
    for name, axes in plan["axes"].items():
        if name not in weights or "1" not in axes:
            continue
        weight, groups = weights[name].data, plan["groups"].get(name, 1)
        gone = torch.ones(weight.shape[1] * groups, dtype=torch.bool)
        gone[plan["kept"][axes["1"]]] = False
        runs = weight.unflatten(0, (groups, -1))  # groups x O/groups x I/groups x ...
        for run, own in zip(runs, gone.reshape(groups, -1), strict=True):
            run[:, own] = 0
    return twin


def lively(network: nn.Module) -> nn.Module:
    """Norms as after training: scales, shifts and statistics that differ by channel."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            if module.affine:
                module.weight.data.uniform_(0.5, 1.5, generator=generator)
                module.bias.data.normal_(0, 0.1, generator=generator)
    return network.eval()


@pytest.fixture
def built(model_cfg):
    """A network of conf/model with lively norms, and two images for it."""
    from lightning_modules.networks import build_network

    def make(option: str, size: int = 32, **changes):
        torch.manual_seed(0)
        network = build_network(model_cfg(option, **changes), num_classes=3, image_size=size)
        images = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8)
        return lively(network), images

    return make
