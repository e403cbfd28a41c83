"""What a plan leads to without its weights: enough to measure it."""

import copy
from collections.abc import Callable

import torch
from torch import nn

from compression.step import Plan


@torch.no_grad()
def stand_in(
    network: nn.Module, restructure: Callable[[nn.Module, Plan], nn.Module], plan: Plan
) -> nn.Module:
    """The network that a plan leads to, with noise for weights: its latency is the same.

    To carry the weights over may take long, as a decomposition does.
    """
    before = dict(network.named_buffers())
    twin = restructure(copy.deepcopy(network), plan)
    generator = torch.Generator().manual_seed(0)
    for parameter in twin.parameters():
        fan_in = max(parameter[0].numel(), 1) if parameter.ndim > 1 else 0
        noise = torch.randn(parameter.shape, generator=generator) if fan_in else torch.tensor(1.0)
        parameter.copy_((noise / max(fan_in, 1) ** 0.5).expand(parameter.shape))
    for name, buffer in twin.named_buffers():
        if name not in before or before[name].shape != buffer.shape:
            buffer.fill_(1)  # statistics of a norm that lost channels
    return twin
