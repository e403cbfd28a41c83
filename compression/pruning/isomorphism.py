"""Which groups of channels have the same structure, whatever their widths.

Fang et al. 2024, "Isomorphic Pruning for Vision Models" (arXiv:2407.04616), section 3.2: scores are
only comparable between sub-structures of the same topology. Here a sub-structure is a group of
channels: the layers that they run through, the axes there, and the operators that they enter.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from torch import nn

from compression.pruning.channel_group import ChannelGroup
from compression.pruning.channel_groups import Channels
from compression.pruning.trace import Key


class Axis(NamedTuple):
    """An axis of a layer's tensor as a group sees it.

    Attributes:
        tensor: its name in the layer.
        axis: of the tensor, its number or `in`.
        kernel: sizes of the window of a convolution, in positions.
        runs: how many equally long parts of it the group has a part of, as of a grouped
            convolution; 0 where every channel is one.
        positions: for each channel of the group.
    """

    tensor: str
    axis: str
    kernel: tuple[int, ...]
    runs: int
    positions: Fraction


class Structure(NamedTuple):
    """What groups have in common that compete with each other.

    Attributes:
        layers: class and axes of every layer that the channels run through, sorted.
        operators: names and arguments of the operators that they enter, sorted.
    """

    layers: tuple[tuple[str, tuple[Axis, ...]], ...]
    operators: tuple[str, ...]


def group_structures(
    channels: Channels, groups: Sequence[ChannelGroup], network: nn.Module
) -> list[Structure]:
    """The structure of each group.

    Args:
        channels: of the network.
        groups: of them.
        network: knows the classes of the layers; may be on the meta device.
    """
    operators = _operators(channels, groups)
    return [
        Structure(_layers(channels, group, network), entered)
        for group, entered in zip(groups, operators, strict=True)
    ]


def _layers(
    channels: Channels, group: ChannelGroup, network: nn.Module
) -> tuple[tuple[str, tuple[Axis, ...]], ...]:
    found: dict[str, list[Axis]] = defaultdict(list)
    count = sum(len(channels.members[signature, False]) for signature in group.signatures)
    for key, per_run in group.axis_counts.items():
        layer, _, tensor = key[0].rpartition(".")
        positions = Fraction(per_run.total(), count)
        runs = 0 if _depthwise(channels, key) else len(per_run)
        found[layer].append(Axis(tensor, str(key[1]), _kernel(channels, key), runs, positions))
    named = {layer: type(network.get_submodule(layer)) for layer in found}
    return tuple(
        sorted(
            (f"{named[layer].__module__}.{named[layer].__qualname__}", tuple(sorted(axes)))
            for layer, axes in found.items()
        )
    )


def _kernel(channels: Channels, key: Key) -> tuple[int, ...]:
    return tuple(channels.trace.shapes[key[0]][2:])


def _depthwise(channels: Channels, key: Key) -> bool:
    shape = channels.trace.shapes[key[0]]
    return len(shape) > 2 and shape[1] == 1


def _operators(channels: Channels, groups: Sequence[ChannelGroup]) -> list[tuple[str, ...]]:
    of_channel = np.full(channels.trace.variables, -1)
    for number, group in enumerate(groups):
        for signature in group.signatures:
            of_channel[channels.members[signature, False]] = number
    entered: list[dict[int, str]] = [{} for _ in groups]
    for place, variables in channels.trace.visits:
        for number in np.unique(of_channel[channels.channel[variables]]).tolist():
            if number >= 0:
                entered[number][place] = channels.trace.operators[place]
    return [tuple(sorted(Counter(found.values()).elements())) for found in entered]
