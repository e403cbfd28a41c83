"""What a network costs: multiply-accumulates (MACs) and parameters, found without running it.

Two named conventions of counting MACs:

- `standard`: all that `torch.utils.flop_counter` counts (convolution, matrix product, attention)
  divided by two;
- `leaderboard2021`: as the 2021 leaderboard counted, see `compression/cost/conventions.py`.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from compression.cost.conventions import count_as_leaderboard, count_as_standard
from compression.cost.file_size import data_bytes
from compression.cost.meta_pass import float_dtype, meta_copy, observed_pass
from compression.errors import CompressionError

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
    counts = observed_pass(network, image_size, CONVENTIONS[convention])
    return {name: macs for name, macs in counts.items() if macs}


def network_cost(network: nn.Module, measure: str, image_size: int | Sequence[int]) -> int:
    """`macs` (of one image), `params` or `file_bytes` of a network: what a target names.

    Raises:
        CompressionError: an image size that the network cannot take.
    """
    if measure == "macs":
        return count_macs(network, image_size)
    return count_params(network) if measure == "params" else data_bytes(network)


def module_macs(module: nn.Module, input_shape: Sequence[int]) -> int:
    """`standard` MACs of one module for an input of its own, N x C x H x W."""
    copy = meta_copy(module)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        copy(torch.empty(*input_shape, dtype=float_dtype(copy), device="meta"))
    return counter.get_total_flops() // 2
