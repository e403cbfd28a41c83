"""A copy of a network without its weights: shapes can be followed through it for free."""

import copy

import torch
from torch import nn


def meta_copy(network: nn.Module) -> nn.Module:
    """`network` with every parameter and buffer on the meta device, frozen, in eval mode.

    The given network is neither moved nor changed, and its weights are never copied.
    """
    # deepcopy takes what its memo already holds, so the tensors are swapped while it walks.
    memo = {}
    for parameter in network.parameters():
        # Frozen: PyTorch's counter fails on a parameter that is passed from module to module.
        twin = torch.empty_like(parameter, device="meta")
        memo[id(parameter)] = nn.Parameter(twin, requires_grad=False)
    for buffer in network.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    return copy.deepcopy(network, memo).eval()
