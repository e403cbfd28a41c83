"""What modules keep beside their tensors and that goes with the sizes of those."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from torch import nn
from torch.nn.modules.conv import _ConvNd

TOKENS = "hidden_dim"  # as torchvision calls the width of tokens
INPUTS = ("in_channels", "in_features")  # as layers call the width of what enters


def sizes_of_parts(network: nn.Module) -> list[Callable[[], None]]:
    """What sets the sizes again that modules keep of their parts, once those have changed.

    Such are lists of their widths, as in MixNet (Tan and Le 2019, arXiv:1907.09595), whose
    convolutions of several kernel sizes split the channels that enter by one; `in_channels` of
    a module whose branches share them, as in timm's selective kernels (Li et al. 2019,
    arXiv:1903.06586); and the width of tokens in torchvision's vision transformer.
    """
    found: list[Callable[[], None]] = []
    for module in network.modules():
        width = vars(module).get(TOKENS)
        for name, tensor in module._parameters.items():
            if isinstance(width, int) and tensor is not None and tensor.shape[-1:] == (width,):
                found.append(partial(_set_tokens, module, name))
        for branches in (module, *(m for m in module.children() if isinstance(m, nn.ModuleList))):
            layers = [_first_layer(child) for child in branches.children()]
            if len(layers) < 2 or None in layers:
                continue
            widths = _widths(layers)
            for name, value in vars(module).items():
                if isinstance(value, list | tuple) and [*value] == widths:
                    found.append(partial(_set, module, name, type(value), layers))
                elif name in INPUTS and value == sum(widths):
                    found.append(partial(_set, module, name, sum, layers))
    return found


def _first_layer(module: nn.Module) -> nn.Module | None:
    layers = (m for m in module.modules() if isinstance(m, nn.Linear | _ConvNd))
    return next(layers, None)


def _widths(layers: Iterable[Any]) -> list[int]:
    return [m.in_features if isinstance(m, nn.Linear) else m.in_channels for m in layers]


def _set(module: nn.Module, name: str, kind: Callable[..., Any], layers: list[Any]) -> None:
    setattr(module, name, kind(_widths(layers)))


def _set_tokens(module: nn.Module, name: str) -> None:
    setattr(module, TOKENS, module.get_parameter(name).shape[-1])
