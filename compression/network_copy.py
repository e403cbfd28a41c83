"""A copy of a network that may be changed, whatever the network has been through."""

import copy
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_leaves


def copy_network(network: nn.Module) -> nn.Module:
    """A deep copy; tensors that an earlier pass computed come along as plain values.

    Such are the weights that `torch.nn.utils.prune`, `weight_norm` and `spectral_norm` put into
    their layers before each pass, which PyTorch refuses to copy.
    """
    memo: dict[int, Any] = {}
    for module in network.modules():
        for tensor in tree_leaves(vars(module)):
            if isinstance(tensor, Tensor) and not is_lazy(tensor) and not tensor.is_leaf:
                memo[id(tensor)] = tensor.detach().clone()
    return copy.deepcopy(network, memo)


def forget_stored(network: nn.Module) -> None:
    """Lose what modules compute from their weights once and store for evaluation.

    As LeViT's attention does with its biases: it forgets them when it is trained.
    """
    modes = {module: module.training for module in network.modules()}
    network.train().eval()
    for module, mode in modes.items():
        module.training = mode
