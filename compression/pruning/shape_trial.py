"""Which groups a network lets itself be cut in: its own code may have written sizes down."""

import copy
from collections.abc import Sequence
from itertools import takewhile

import torch
from torch import nn

from compression.cost import forward_shapes, runnable_copy
from compression.pruning.channel_budget import ChannelBudget, Counts
from compression.pruning.channel_groups import ChannelGroup
from compression.pruning.cutting import set_shapes
from compression.pruning.tracing import inside


class ShapeTrial:
    """Tries sizes out on a copy without values.

    Args:
        network: stays as it is.
        budget: gives the shapes.
        image_size: height and width in pixels.
    """

    def __init__(
        self, network: nn.Module, budget: ChannelBudget, image_size: Sequence[int]
    ) -> None:
        self.bare = runnable_copy(network, image_size)
        self.budget, self.image_size = budget, image_size
        self.output_shape = forward_shapes(self.bare, image_size)

    def copy(self) -> "ShapeTrial":
        """The same, with sizes of its own."""
        twin = copy.copy(self)
        twin.budget = self.budget.copy()
        return twin

    def smaller(self, counts: Counts) -> nn.Module:
        """The network in other sizes, on the meta device."""
        twin = copy.deepcopy(self.bare)
        set_shapes(twin, self.budget.shapes(counts))
        return twin

    def failing_module(self, counts: Counts) -> str | None:
        """The name of the module that fails in these sizes, or None."""
        where: list[str] = []
        twin = self.smaller(counts)
        try:
            with inside(twin, where), torch.no_grad():
                shape = forward_shapes(twin, self.image_size)
        except Exception:  # whatever the network's own code raises
            return where[-1] if where else ""
        return None if shape == self.output_shape else ""


def prunable_groups(shape_trial: ShapeTrial) -> tuple[list[int], dict[int, str]]:
    """The numbers of the groups that can be cut, and by which module each other one is fixed.

    All are cut at once; where that fails, the groups that reach into the failing module are
    tried one by one, and those that fail alone are left whole, with all of their kind.
    """
    budget = shape_trial.budget
    tried = {
        n: _tried_count(budget, n) for n in range(len(budget.groups)) if len(budget.allowed[n]) > 1
    }
    free = list(tried)
    fixed: dict[int, str] = {}
    while free:
        module = shape_trial.failing_module({n: tried[n] for n in free})
        if module is None:
            break
        candidates, module = _candidates(shape_trial, free, module, tried)
        failing = {*_failing(shape_trial, candidates, tried)}
        failing |= {n for n in free if any(_alike(shape_trial, n, known) for known in failing)}
        fixed |= dict.fromkeys(failing, _block(shape_trial.bare, module))
        free = [n for n in free if n not in failing]
    return free, fixed


def _failing(shape_trial: ShapeTrial, candidates: list[int], tried: Counts) -> list[int]:
    """Those that fail alone; or the one without which the others do not; or all of them."""
    alone = [n for n in candidates if shape_trial.failing_module({n: tried[n]}) is not None]
    if alone:
        return alone
    for n in candidates:
        others = {other: tried[other] for other in candidates if other != n}
        if shape_trial.failing_module(others) is None:
            return [n]
    return candidates


def _tried_count(budget: ChannelBudget, number: int) -> int:
    """A count to try: other ratios for neighbours, as some code wants two of them to be equal."""
    below = [k for k in budget.allowed[number] if k < budget.groups[number].granularity]
    wanted = (0.5, 0.75, 0.6, 0.35)[number % 4] * budget.groups[number].granularity
    return min(below, key=lambda k: abs(k - wanted))


def _candidates(
    shape_trial: ShapeTrial, free: list[int], module: str, tried: Counts
) -> tuple[list[int], str]:
    """The groups with tensors in the failing module, or in the nearest one around it, that fail
    together without any others.
    """
    while module:
        found = [n for n in free if _local(shape_trial.budget.groups[n], module)]
        if found and shape_trial.failing_module({n: tried[n] for n in found}) is not None:
            return found, module
        module = module.rpartition(".")[0]
    return free, module


def _local(group: ChannelGroup, module: str) -> frozenset[str]:
    """Which tensors inside a module a group reaches, named from there, with their axes."""
    prefix = f"{module}." if module else ""
    return frozenset(
        f"{name.removeprefix(prefix)}:{axis}"
        for name, axis in group.axis_counts
        if name.startswith(prefix)
    )


def _block(network: nn.Module, module: str) -> str:
    """The module whose code decides: what fails is often one layer of it."""
    while module and _without_code(network.get_submodule(module)):
        module = module.rpartition(".")[0]
    return module


def _without_code(module: nn.Module) -> bool:
    containers = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
    return type(module) in containers or not any(module.children())


def _alike(shape_trial: ShapeTrial, one: int, other: int) -> bool:
    """Whether two groups lie in modules of one class, and there in tensors of the same names."""
    groups = [shape_trial.budget.groups[n] for n in (one, other)]
    homes = [_home(group) for group in groups]
    kinds = {type(shape_trial.bare.get_submodule(home)) for home in homes}
    return len(kinds) == 1 and _local(groups[0], homes[0]) == _local(groups[1], homes[1])


def _home(group: ChannelGroup) -> str:
    """The innermost module that all of a group's tensors lie in."""
    paths = [name.split(".")[:-1] for name, _ in group.axis_counts]
    shared = takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False))
    return ".".join(parts[0] for parts in shared)
