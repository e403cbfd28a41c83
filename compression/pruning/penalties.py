"""Terms of the loss under which channels fade away before they are taken out.

A penalty is a function of the network that gives a scalar with a gradient.
"""

from collections.abc import Callable
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from compression.errors import CompressionError

Penalty = Callable[[nn.Module], Tensor]


def weighted(penalty: Penalty | None, strength: float, network: nn.Module) -> Tensor | None:
    """`strength` times the penalty of a network; None where there is no penalty.

    Raises:
        CompressionError: the penalty is no scalar.
    """
    if penalty is None:
        return None
    found = penalty(network)
    if not isinstance(found, Tensor) or found.numel() != 1:
        kind = f"shape {list(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        called = getattr(penalty, "__qualname__", type(penalty).__qualname__)
        raise CompressionError(
            f"prune.penalty: {called} must return one number as a tensor, not {kind}."
        )
    return strength * found


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
