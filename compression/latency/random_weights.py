"""A network as a plan leaves it, with weights that were never transferred: to be timed, or run."""

from collections.abc import Callable

import torch
from torch import nn

from compression.network_copy import copy_network
from compression.step import P


@torch.no_grad()
def random_weight_copy(
    network: nn.Module, restructure: Callable[[nn.Module, P], nn.Module], plan: P
) -> nn.Module:
    """The network that a plan leads to, with noise for weights: its latency is the same.

    To transfer the weights may take long, as a decomposition does.
    """
    before = dict(network.named_buffers())
    twin = restructure(copy_network(network), plan)
    generator = torch.Generator().manual_seed(0)
    for parameter in twin.parameters():
        fan_in = max(parameter[0].numel(), 1) if parameter.ndim > 1 else 0
        noise = torch.randn(parameter.shape, generator=generator) if fan_in else torch.tensor(1.0)
        parameter.copy_((noise / max(fan_in, 1) ** 0.5).expand(parameter.shape))
    for name, buffer in twin.named_buffers():
        if name not in before or before[name].shape != buffer.shape:
            buffer.fill_(1)  # statistics of a norm that lost channels
    return twin
