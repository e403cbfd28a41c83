"""What a network costs: multiply-accumulates (MACs) and parameters, found without running it.

Two named conventions of counting MACs:

- `standard`: all that `torch.utils.flop_counter` counts (convolution, matrix product, attention)
  divided by two;
- `leaderboard2021`: as the 2021 leaderboard counted, see `compression/cost/leaderboard.py`.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from compression.cost.leaderboard import count_as_leaderboard
from compression.cost.meta_copy import meta_copy
from compression.cost.standard_macs import count_as_standard
from compression.errors import CompressionError
from compression.schema import height_width

CONVENTIONS = {"standard": count_as_standard, "leaderboard2021": count_as_leaderboard}


def count_params(network: nn.Module) -> int:
    """The number of parameters, frozen ones included; buffers are not parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_macs(
    network: nn.Module, image_size: int | Sequence[int], convention: str = "standard"
) -> int:
    """Multiply-accumulates for one image of `image_size` (an int, or [height, width] in pixels).

    Raises:
        CompressionError: unknown convention, or a size that the network cannot take.
    """
    return sum(macs_per_layer(network, image_size, convention).values())


def macs_per_layer(
    network: nn.Module, image_size: int | Sequence[int], convention: str = "standard"
) -> dict[str, int]:
    """MACs by the name of the module that does them itself, children not included.

    The values add up to `count_macs`; modules that do none are left out.

    Raises:
        CompressionError: unknown convention, or a size that the network cannot take.
    """
    if convention not in CONVENTIONS:
        raise CompressionError(
            f"Unknown MAC convention {convention!r}; there are {' and '.join(CONVENTIONS)}."
        )
    copy = meta_copy(network)
    with CONVENTIONS[convention](copy) as counts:
        forward_shapes(copy, image_size)
    return {name: macs for name, macs in counts.items() if macs}


def network_cost(network: nn.Module, measure: str, image_size: int | Sequence[int]) -> int:
    """`macs` (of one image) or `params` of a network, the measures of a target.

    Raises:
        CompressionError: an image size that the network cannot take.
    """
    return count_params(network) if measure == "params" else count_macs(network, image_size)


def layer_calls(network: nn.Module, image_size: int | Sequence[int]) -> dict[str, list[torch.Size]]:
    """The shapes of a module's inputs, 1 x C x H x W, call by call; of all that are called."""
    copy = meta_copy(network)
    shapes: dict[str, list[torch.Size]] = {}

    def remember(name: str, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], Tensor):
            shapes.setdefault(name, []).append(inputs[0].shape)

    for name, module in copy.named_modules():
        module.register_forward_pre_hook(partial(remember, name))
    forward_shapes(copy, image_size)
    return shapes


def module_macs(module: nn.Module, input_shape: Sequence[int]) -> int:
    """`standard` MACs of one module for an input of its own, N x C x H x W."""
    copy = meta_copy(module)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        copy(torch.empty(*input_shape, dtype=_dtype(copy), device="meta"))
    return counter.get_total_flops() // 2


def forward_shapes(copy: nn.Module, image_size: int | Sequence[int]) -> torch.Size:
    """Pass one image without values through a network on the meta device; the output's shape.

    Raises:
        CompressionError: the network cannot take images of that size.
    """
    height, width = height_width(image_size)
    # Floating pixels suit a network that normalises by itself and one that does not.
    image = torch.empty(1, 3, height, width, dtype=_dtype(copy), device="meta")
    try:
        with torch.no_grad():
            return copy(image).shape
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise CompressionError(
            f"The network cannot take images of {height} x {width} pixels: {reason}."
        ) from error


def _dtype(network: nn.Module) -> torch.dtype:
    floating = (p.dtype for p in network.parameters() if p.is_floating_point())
    return next(floating, torch.float32)
