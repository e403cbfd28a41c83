"""A pass of a network without values, on the meta device: shapes can be followed for free."""

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from compression.errors import CompressionError
from compression.schema import height_width


def meta_copy(network: nn.Module) -> nn.Module:
    """`network` with every parameter and buffer on the meta device, frozen, in eval mode.

    The given network is neither moved nor changed, and its weights are never copied.
    """
    # deepcopy takes what its memo already holds, so the tensors are swapped while it walks.
    memo: dict[int, Tensor] = {}
    for parameter in network.parameters():
        # Frozen: PyTorch's counter fails on a parameter that is passed from module to module.
        twin = torch.empty_like(parameter, device="meta")
        memo[id(parameter)] = nn.Parameter(twin, requires_grad=False)
    for buffer in network.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    return copy.deepcopy(network, memo).eval()


def forward_shapes(network: nn.Module, image_size: int | Sequence[int]) -> torch.Size:
    """Pass one image without values through a network on the meta device; the output's shape.

    Raises:
        CompressionError: the network cannot take images of that size.
    """
    height, width = height_width(image_size)
    # Floating pixels suit a network that normalises by itself and one that does not.
    image = torch.empty(1, 3, height, width, dtype=float_dtype(network), device="meta")
    try:
        with torch.no_grad():
            return network(image).shape
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise CompressionError(
            f"The network cannot take images of {height} x {width} pixels: {reason}."
        ) from error


def layer_calls(network: nn.Module, image_size: int | Sequence[int]) -> dict[str, list[torch.Size]]:
    """The shapes of a module's inputs, 1 x C x H x W, call by call; of all that are called."""
    twin = meta_copy(network)
    shapes: dict[str, list[torch.Size]] = {}

    def remember(name: str, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], Tensor):
            shapes.setdefault(name, []).append(inputs[0].shape)

    for name, module in twin.named_modules():
        module.register_forward_pre_hook(partial(remember, name))
    forward_shapes(twin, image_size)
    return shapes


def float_dtype(network: nn.Module) -> torch.dtype:
    """Of its floating parameters; float32 where it has none."""
    floating = (p.dtype for p in network.parameters() if p.is_floating_point())
    return next(floating, torch.float32)
