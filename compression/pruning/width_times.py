"""The times of layers as a function of both their widths, inputs and outputs.

A few widths of each are measured in turns, those between them are interpolated; see `latency`.
"""

from collections.abc import Sequence
from itertools import product
from math import lcm
from typing import TypeGuard

import numpy as np
import torch
from scipy.interpolate import RegularGridInterpolator
from torch import nn

from compression.cost import Geometry, layer_calls
from compression.cost.geometry import HEIGHT, PLAIN, WIDTH, Layer, Plain, signature
from compression.latency import compare_layers
from compression.pruning.channel_budget import ChannelBudget
from compression.pruning.prune_plan import NO_FASTER

SIDE_BY_SIDE = 8  # channels that a processor computes at once
ENDS, POINTS = 2, 4  # widths of an axis that are measured: the smallest and all; those between too
GAIN = 0.05  # a group must be faster by this ratio at its smallest size: less is within the noise

Axes = tuple[tuple[int, ...], tuple[int, ...]]  # widths: outputs, inputs of one group


class WidthTimes:
    """Milliseconds of the layers of a network by the shape of their weights.

    Args:
        network: without values too.
        budget: says which sizes there are.
        image_size: height and width in pixels.
        points: widths of an axis that are measured, at least the smallest and all.
    """

    def __init__(
        self,
        network: nn.Module,
        budget: ChannelBudget,
        image_size: Sequence[int],
        *,
        points: int = POINTS,
    ) -> None:
        self.budget = budget
        smallest = {n: min(allowed) for n, allowed in enumerate(budget.allowed)}
        calls = layer_calls(network, image_size)
        self._times: dict[str, RegularGridInterpolator] = {}
        self._known: dict[tuple[str, torch.Size], float] = {}
        tables: dict[tuple, RegularGridInterpolator] = {}
        for name in budget.tensors:
            path, _, attribute = name.rpartition(".")
            layer = network.get_submodule(path)
            if attribute != "weight" or not _is_plain(layer) or path not in calls:
                continue
            pairs = zip(budget.shape(name, smallest), layer.weight.shape, strict=True)
            (low, high), (few, many) = list(pairs)[:2]
            axes = _widths(low, high, points, _unit(layer)), _widths(few, many, points)
            key = (*signature(layer), axes, *map(tuple, calls[path]))
            if key not in tables:
                tables[key] = _table(layer, axes, calls[path])
            self._times[name] = tables[key]

    def __call__(self, name: str, shape: torch.Size) -> float:
        """Milliseconds in one pass of the network; 0 of tensors that are no layer's weight."""
        if name not in self._times:
            return 0.0
        if (name, shape) not in self._known:
            self._known[name, shape] = float(self._times[name]([list(shape[:2])])[0])
        return self._known[name, shape]

    def __contains__(self, name: str) -> bool:
        return name in self._times

    def slow_groups(self) -> dict[int, str]:
        """Why groups are to be left whole that are no faster at their smallest size, by number."""
        whole, found = self.budget.whole(), {}
        for number, group in enumerate(self.budget.groups):
            smallest = {**whole, number: min(self.budget.allowed[number])}
            names = list(dict.fromkeys(name for name, _ in group.axis_counts))
            before, after = (
                sum(self(name, self.budget.shape(name, counts)) for name in names)
                for counts in (whole, smallest)
            )
            if smallest != whole and after > (1 - GAIN) * before:
                found[number] = f"{NO_FASTER} ({before:.3g} -> {after:.3g} ms at its smallest)"
        return found


def _is_plain(layer: nn.Module) -> TypeGuard[Plain]:
    return type(layer) in PLAIN


def _unit(layer: Plain) -> int:
    """What the number of its outputs is a multiple of."""
    if isinstance(layer, nn.Linear):
        return 1
    depthwise = 1 < layer.groups == layer.in_channels
    return layer.out_channels // layer.in_channels if depthwise else layer.groups


def _widths(smallest: int, whole: int, points: int, unit: int = 1) -> tuple[int, ...]:
    """A few widths from the smallest to all, ascending; multiples of the unit, if so many of 8."""
    step = lcm(unit, SIDE_BY_SIDE)
    step = step if whole - smallest >= step * (points - 1) else unit
    inner = (smallest + (whole - smallest) * n / (points - 1) for n in range(1, points - 1))
    return tuple(sorted({smallest, *(max(smallest, round(w / step) * step) for w in inner), whole}))


def _table(layer: Plain, axes: Axes, calls: Sequence[torch.Size]) -> RegularGridInterpolator:
    """Measured at each pair of widths, added up over the calls."""
    pairs = list(product(*axes))
    times = np.zeros(len(pairs))
    for shape in calls:
        times += compare_layers([_resized(layer, *pair, shape) for pair in pairs])
    # An axis of one width gets another one that is as long, for there must be two.
    grid = [(*widths, widths[0] + 1) if len(widths) == 1 else widths for widths in axes]
    table = times.reshape([len(widths) for widths in axes])
    for axis, widths in enumerate(axes):
        if len(widths) == 1:
            table = np.repeat(table, 2, axis)
    return RegularGridInterpolator(grid, table, bounds_error=False, fill_value=None)


def _resized(
    layer: Plain, outputs: int, inputs: int, shape: Sequence[int]
) -> tuple[Layer, Sequence[int]]:
    """The layer in other widths (inputs: of one group), on meta, and the shape of its input."""
    geometry = Geometry.of(layer, device="meta")
    groups = geometry.groups
    if 1 < groups == geometry.inputs:  # depthwise: a group a channel
        groups = outputs // geometry.group_outputs
    width = groups * inputs
    resized = geometry.factor(width, outputs, over=(HEIGHT, WIDTH), groups=groups, last=True)
    if isinstance(layer, nn.Linear):
        return resized, (*shape[:-1], width)
    return resized, (shape[0], width, *shape[2:])
