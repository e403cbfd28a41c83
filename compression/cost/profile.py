"""All that one pass without values shows of a network: shapes, MACs and memory."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from compression.cost.activations import Memory, watch_memory
from compression.cost.conventions import count_as_leaderboard, count_as_standard
from compression.cost.meta_pass import observed_pass


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What one image costs.

    Attributes:
        shapes: of each module's last output by its name, 1 x C x H x W; in the order of being
            called, for modules that give one tensor.
        macs: by convention, then by module name, children not included.
        activation_bytes: most memory that feature maps take at once, see `activations`.
    """

    shapes: dict[str, torch.Size]
    macs: dict[str, Counter[str]]
    activation_bytes: int


def profile_network(network: nn.Module, image_size: int | Sequence[int]) -> Profile:
    """Pass one image of `image_size` (an int, or [height, width] in pixels) through a copy.

    Raises:
        CompressionError: the network cannot take images of that size.
    """
    shapes, macs, memory = observed_pass(network, image_size, _observe)
    return Profile(shapes=shapes, macs=macs, activation_bytes=memory.peak)


@contextmanager
def _observe(
    network: nn.Module,
) -> Iterator[tuple[dict[str, torch.Size], dict[str, Counter[str]], Memory]]:
    with (
        count_as_standard(network) as standard,
        count_as_leaderboard(network) as leaderboard,
        _record_shapes(network) as shapes,
        watch_memory(network) as memory,
    ):
        yield shapes, {"standard": standard, "leaderboard2021": leaderboard}, memory


@contextmanager
def _record_shapes(network: nn.Module) -> Iterator[dict[str, torch.Size]]:
    shapes: dict[str, torch.Size] = {}

    def record(name: str, _: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            shapes[name] = output.shape

    hooks = [
        module.register_forward_hook(partial(record, name))
        for name, module in network.named_modules()
    ]
    try:
        yield shapes
    finally:
        for hook in hooks:
            hook.remove()
