"""Layers whose outputs go into a BatchNorm, which takes off their mean and brings them to scale."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from compression.cost import observed_pass

SMALLEST = 1e-2  # of the largest scale: no channel counts less


def before_batchnorm(
    network: nn.Module, image_size: int | Sequence[int], layers: Sequence[str]
) -> dict[str, str]:
    """Those `layers` whose very output is the input of a BatchNorm, and its name.

    Args:
        network: stays as it is.
        image_size: an int or [height, width] in pixels.
        layers: names of modules, each with one tensor for its output.

    Raises:
        CompressionError: the network cannot take images of that size.
    """
    return observed_pass(network, image_size, partial(_watch, layers))


@contextmanager
def _watch(layers: Sequence[str], twin: nn.Module) -> Iterator[dict[str, str]]:
    outputs: list[tuple[Tensor, str]] = []  # kept, so that no other tensor is taken for one
    found: dict[str, str] = {}

    def given(_: nn.Module, inputs: tuple[Any, ...], norm: str) -> None:
        found.update({name: norm for output, name in outputs if inputs and output is inputs[0]})

    hooks = [
        twin.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, output, name=name: outputs.append((output, name))
        )
        for name in layers
    ]
    norms = {name: norm for name, norm in twin.named_modules() if isinstance(norm, _BatchNorm)}
    hooks += [
        norm.register_forward_pre_hook(partial(given, norm=name)) for name, norm in norms.items()
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def output_scale(norm: nn.Module) -> Tensor | None:
    """What a BatchNorm multiplies each channel by, in float64; None where it has no statistics.

    Channels that it all but switches off count a little: what they are given may change.
    """
    assert isinstance(norm, _BatchNorm)
    if norm.running_var is None:
        return None
    deviation = (norm.running_var.detach().double().cpu() + norm.eps).sqrt()
    scale = (
        1 / deviation if norm.weight is None else norm.weight.detach().double().cpu() / deviation
    )
    scale = scale.abs()
    return scale.clamp(min=SMALLEST * float(scale.max())) if scale.isfinite().all() else None
