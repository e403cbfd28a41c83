"""Sparsity training: penalties under which channels fade away before they are taken out."""

from collections.abc import Callable
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd


def bn_scales(network: nn.Module) -> Tensor:
    """The sum of all absolute BatchNorm scales (Liu et al. 2017, network slimming, equation 1)."""
    found = [
        module.weight.abs().sum()
        for module in network.modules()
        if isinstance(module, _BatchNorm) and module.weight is not None
    ]
    return torch.stack(found).sum() if found else torch.zeros(())


def group_norms(network: nn.Module) -> Tensor:
    """The norms of all filters, each times the root of its size (Wen et al. 2016, equation 4)."""
    found = [
        sqrt(module.weight[0].numel()) * module.weight.flatten(1).norm(dim=1).sum()
        for module in network.modules()
        if isinstance(module, _ConvNd | nn.Linear)
    ]
    return torch.stack(found).sum() if found else torch.zeros(())


PENALTIES: dict[str, Callable[[nn.Module], Tensor]] = {
    "bn_scale": bn_scales,
    "group_norm": group_norms,
}
