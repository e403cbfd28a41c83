"""Layers behind which the mean of their outputs does not matter, as BatchNorm takes it off."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from compression.cost import observed_pass


def before_batchnorm(
    network: nn.Module, image_size: int | Sequence[int], layers: Sequence[str]
) -> set[str]:
    """Those `layers` whose very output is the input of a BatchNorm.

    Args:
        network: stays as it is.
        image_size: an int or [height, width] in pixels.
        layers: names of modules, each with one tensor for its output.

    Raises:
        CompressionError: the network cannot take images of that size.
    """
    return observed_pass(network, image_size, partial(_watch, layers))


@contextmanager
def _watch(layers: Sequence[str], twin: nn.Module) -> Iterator[set[str]]:
    outputs: list[tuple[Tensor, str]] = []  # kept, so that no other tensor is taken for one
    found: set[str] = set()

    def given(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        found.update(name for output, name in outputs if inputs and output is inputs[0])

    hooks = [
        twin.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, output, name=name: outputs.append((output, name))
        )
        for name in layers
    ]
    norms = [module for module in twin.modules() if isinstance(module, _BatchNorm)]
    hooks += [norm.register_forward_pre_hook(given) for norm in norms]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
