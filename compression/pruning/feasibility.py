"""Which groups a network lets itself be cut in: its own code may have written sizes down."""

import copy
from collections.abc import Sequence
from itertools import takewhile

import torch
from torch import nn

from compression.cost.macs import forward_shapes
from compression.cost.meta_copy import meta_copy
from compression.pruning.channel_groups import ChannelGroup
from compression.pruning.cutting import set_shapes
from compression.pruning.sizing import Sizing, Steps
from compression.pruning.trace import inside


class Rehearsal:
    """Tries sizes out on a copy without values.

    Args:
        network: stays as it is.
        sizing: gives the shapes.
        image_size: height and width in pixels.
    """

    def __init__(self, network: nn.Module, sizing: Sizing, image_size: Sequence[int]) -> None:
        self.bare, self.sizing, self.image_size = meta_copy(network), sizing, image_size
        self.classes = forward_shapes(self.bare, image_size)

    def copy(self) -> "Rehearsal":
        """The same, with sizes of its own."""
        twin = copy.copy(self)
        twin.sizing = self.sizing.copy()
        return twin

    def smaller(self, steps: Steps) -> nn.Module:
        """The network in other sizes, on the meta device."""
        twin = copy.deepcopy(self.bare)
        set_shapes(twin, self.sizing.shapes(steps))
        return twin

    def failing_module(self, steps: Steps) -> str | None:
        """The name of the module that fails in these sizes, or None."""
        where: list[str] = []
        twin = self.smaller(steps)
        try:
            with inside(twin, where), torch.no_grad():
                shape = forward_shapes(twin, self.image_size)
        except Exception:  # whatever the network's own code raises
            return where[-1] if where else ""
        return None if shape == self.classes else ""


def cuttable(rehearsal: Rehearsal) -> tuple[list[int], dict[int, str]]:
    """The numbers of the groups that can be cut, and by which module each other one is held.

    All are cut at once; where that fails, the groups that reach into the failing module are
    tried one by one, and those that fail alone are given up, with all of their kind.
    """
    sizing = rehearsal.sizing
    trial = {n: _trial(sizing, n) for n in range(len(sizing.groups)) if len(sizing.allowed[n]) > 1}
    free, held = list(trial), {}
    while free:
        place = rehearsal.failing_module({n: trial[n] for n in free})
        if place is None:
            break
        suspects, place = _suspects(rehearsal, free, place, trial)
        guilty = {*_guilty(rehearsal, suspects, trial)}
        guilty |= {n for n in free if any(_alike(rehearsal, n, known) for known in guilty)}
        held |= dict.fromkeys(guilty, _block(rehearsal.bare, place))
        free = [n for n in free if n not in guilty]
    return free, held


def _guilty(rehearsal: Rehearsal, suspects: list[int], trial: Steps) -> list[int]:
    """Those that fail alone; or the one without which the others do not; or all of them."""
    alone = [n for n in suspects if rehearsal.failing_module({n: trial[n]}) is not None]
    if alone:
        return alone
    for n in suspects:
        others = {other: trial[other] for other in suspects if other != n}
        if rehearsal.failing_module(others) is None:
            return [n]
    return suspects


def _trial(sizing: Sizing, number: int) -> int:
    """A size to try: other shares for neighbours, as some code wants two of them to be equal."""
    below = [k for k in sizing.allowed[number] if k < sizing.groups[number].steps]
    wanted = (0.5, 0.75, 0.6, 0.35)[number % 4] * sizing.groups[number].steps
    return min(below, key=lambda k: abs(k - wanted))


def _suspects(
    rehearsal: Rehearsal, free: list[int], place: str, trial: Steps
) -> tuple[list[int], str]:
    """The groups with tensors in the failing module, or in the nearest one around it, that fail
    together without any others.
    """
    while place:
        found = [n for n in free if _local(rehearsal.sizing.groups[n], place)]
        if found and rehearsal.failing_module({n: trial[n] for n in found}) is not None:
            return found, place
        place = place.rpartition(".")[0]
    return free, place


def _local(group: ChannelGroup, place: str) -> frozenset[str]:
    """Which tensors inside a module a group reaches, named from there, with their axes."""
    prefix = f"{place}." if place else ""
    return frozenset(
        f"{name.removeprefix(prefix)}:{axis}"
        for name, axis in group.cells
        if name.startswith(prefix)
    )


def _block(network: nn.Module, place: str) -> str:
    """The module whose code decides: what fails is often one layer of it."""
    while place and _without_code(network.get_submodule(place)):
        place = place.rpartition(".")[0]
    return place


def _without_code(module: nn.Module) -> bool:
    containers = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
    return type(module) in containers or not any(module.children())


def _alike(rehearsal: Rehearsal, one: int, other: int) -> bool:
    """Whether two groups lie in modules of one class, and there in tensors of the same names."""
    groups = [rehearsal.sizing.groups[n] for n in (one, other)]
    homes = [_home(group) for group in groups]
    kinds = {type(rehearsal.bare.get_submodule(home)) for home in homes}
    return len(kinds) == 1 and _local(groups[0], homes[0]) == _local(groups[1], homes[1])


def _home(group: ChannelGroup) -> str:
    """The innermost module that all of a group's tensors lie in."""
    paths = [name.split(".")[:-1] for name, _ in group.cells]
    shared = takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False))
    return ".".join(parts[0] for parts in shared)
