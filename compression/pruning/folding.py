"""Parametrised weights folded into plain ones, so that channels can be taken out of them.

Weight normalisation (Salimans and Kingma 2016, arXiv:1602.07868), spectral normalisation and what
else `torch.nn.utils.parametrize` knows make a layer's weight out of other tensors, as the hooks did
that came before it. A channel taken out of those would change what is left of the weight: its norm
is another one. So a layer that is cut has the weight itself from there on.
"""

from collections.abc import Iterable

from torch import nn
from torch.nn.utils import remove_spectral_norm, remove_weight_norm
from torch.nn.utils.parametrize import ParametrizationList, is_parametrized
from torch.nn.utils.parametrize import type_before_parametrizations as plain_type
from torch.nn.utils.spectral_norm import SpectralNorm, SpectralNormLoadStateDictPreHook
from torch.nn.utils.weight_norm import WeightNorm

from compression.network_copy import copy_network

HOOKS = {WeightNorm: remove_weight_norm, SpectralNorm: remove_spectral_norm}


def parametrized_layers(network: nn.Module) -> list[str]:
    """Names of the modules whose weights are made of other tensors."""
    return [
        name
        for name, module in network.named_modules()
        if is_parametrized(module) or _hooks(module)
    ]


def folded(network: nn.Module) -> nn.Module:
    """A copy in which all weights are plain tensors; the network itself where they are already."""
    names = parametrized_layers(network)
    return fold(copy_network(network), names) if names else network


def fold(network: nn.Module, layers: Iterable[str]) -> nn.Module:
    """Give these layers the weights that they have now as plain parameters, in place.

    Those that have plain ones already stay.
    """
    for name in layers:
        module = network.get_submodule(name)
        for hook in _hooks(module):
            _unhook(module, hook)
        if is_parametrized(module):
            _fold(module)
    return network


def _hooks(module: nn.Module) -> list[WeightNorm | SpectralNorm]:
    hooks = module._forward_pre_hooks.values()
    return [hook for hook in hooks if isinstance(hook, WeightNorm | SpectralNorm)]


def _unhook(module: nn.Module, hook: WeightNorm | SpectralNorm) -> None:
    made_of = [p for name, p in module.named_parameters() if name.startswith(f"{hook.name}_")]
    HOOKS[type(hook)](module, hook.name)
    loading = module._load_state_dict_pre_hooks
    for key, wrapped in list(loading.items()):  # PyTorch looks for it without its wrapping
        if isinstance(getattr(wrapped, "hook", None), SpectralNormLoadStateDictPreHook):
            del loading[key]
    weight = module.get_parameter(hook.name)
    weight.requires_grad_(any(p.requires_grad for p in made_of))


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
