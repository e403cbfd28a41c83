"""Parametrised weights folded into plain ones, so that channels can be taken out of them.

Weight normalisation (Salimans and Kingma 2016, arXiv:1602.07868), spectral normalisation and what
else `torch.nn.utils.parametrize` knows make a layer's weight out of other tensors. A channel taken
out of those would change what is left of the weight: its norm is another one. So a layer that is
cut has the weight itself from there on.
"""

import copy
from collections.abc import Iterable

from torch import nn
from torch.nn.utils.parametrize import ParametrizationList, is_parametrized
from torch.nn.utils.parametrize import type_before_parametrizations as plain_type

from compression.errors import CompressionError


def parametrized_layers(network: nn.Module) -> list[str]:
    """Names of the modules whose weights are made of other tensors."""
    return [name for name, module in network.named_modules() if is_parametrized(module)]


def folded(network: nn.Module) -> nn.Module:
    """A copy in which all weights are plain tensors; the network itself where they are already."""
    names = parametrized_layers(network)
    return fold(copy.deepcopy(network), names) if names else network


def fold(network: nn.Module, layers: Iterable[str]) -> nn.Module:
    """Give these layers the weights that they have now as plain parameters, in place.

    Raises:
        CompressionError: one of them has no parametrised weights.
    """
    for name in layers:
        module = network.get_submodule(name)
        if not is_parametrized(module):
            raise CompressionError(
                f"The prune plan was made for another architecture: the weights of {name!r} are "
                "not parametrised."
            )
        _fold(module)
    return network


def _fold(module: nn.Module) -> None:
    lists = module.get_submodule("parametrizations").eval()  # spectral norm goes on in training
    values = {name: getattr(module, name).detach().clone() for name, _ in lists.named_children()}
    learning = {name: _learns(part) for name, part in lists.named_children()}
    # Not by PyTorch's remove_parametrizations, which takes the property off a class that the
    # network shares with its copies.
    module.__class__ = plain_type(module)
    del module._modules["parametrizations"]
    for name, value in values.items():
        module.register_parameter(name, nn.Parameter(value, requires_grad=learning[name]))


def _learns(part: nn.Module) -> bool:
    assert isinstance(part, ParametrizationList)
    return any(parameter.requires_grad for parameter in part.parameters())
