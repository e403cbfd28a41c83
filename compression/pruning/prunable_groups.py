"""Which groups a network lets itself be cut in: its own code may have written sizes down."""

from collections.abc import Sequence
from itertools import takewhile

import numpy as np
from torch import nn

from compression.pruning.channel_budget import Counts
from compression.pruning.channel_group import ChannelGroup
from compression.pruning.channel_groups import Channels
from compression.pruning.kept_channels import ChannelMismatchError, match_kept_channels
from compression.pruning.shape_trial import ShapeTrial
from compression.pruning.tied_ratios import tied_ratios


def prunable_groups(
    shape_trial: ShapeTrial, channels: Channels
) -> tuple[list[int], dict[int, str]]:
    """The numbers of the groups that can be cut, and by which module each other one is fixed.

    Groups that work at one ratio only are one group in the trial's budget from here on.

    Args:
        shape_trial: has the groups, and tries sizes out.
        channels: of the network.
    """
    apart = shape_trial.budget
    free, fixed = _search(shape_trial, tie=True)
    united = [n for n in free if shape_trial.budget.groups[n] not in apart.groups]
    if united and not _computes_the_same(shape_trial, channels, united):
        shape_trial.budget = apart
        free, fixed = _search(shape_trial, tie=False)
    return free, fixed


def _search(shape_trial: ShapeTrial, *, tie: bool) -> tuple[list[int], dict[int, str]]:
    """All are cut at once; where that fails, the groups that reach into the failing module are
    tried at one ratio, if they may be tied. If that does not help, they are tried one by one, and
    those that fail alone are left whole, with all of their kind.
    """
    fixed: dict[int, str] = {}
    free = [n for n, allowed in enumerate(shape_trial.budget.allowed) if len(allowed) > 1]
    while free and (found := _failing_together(shape_trial, free)):
        budget = shape_trial.budget
        tried, module = found
        candidates, module = _candidates(shape_trial, free, module, tried)
        block = _block(shape_trial.bare, module)
        around = [n for n in free if budget.groups[n].inside(block)]
        if tie and (sets := tied_ratios(shape_trial, around, block, tried)):
            shape_trial.budget, number = budget.united(sets)
            free = sorted({number[n] for n in free})
            fixed = {number[n]: name for n, name in fixed.items()}
            continue
        failing = {*_failing(shape_trial, candidates, tried)}
        failing |= {n for n in free if any(_alike(shape_trial, n, known) for known in failing)}
        fixed |= dict.fromkeys(failing, block)
        free = [n for n in free if n not in failing]
    return free, fixed


def _failing_together(shape_trial: ShapeTrial, free: Sequence[int]) -> tuple[Counts, str] | None:
    """Counts at which all groups together fail, and the module that does."""
    budget = shape_trial.budget
    for digit in range(budget.digits):
        tried = {n: budget.count_to_try(n, digit) for n in free}
        module = shape_trial.failing_module(tried)
        if module is not None:
            return tried, module
    return None


def _computes_the_same(shape_trial: ShapeTrial, channels: Channels, numbers: list[int]) -> bool:
    """Whether the channels of these groups can be told again once they are cut."""
    budget = shape_trial.budget
    counts = {n: budget.count_to_try(n) for n in numbers}
    if shape_trial.failing_module(counts) is not None:  # coarse groups may have had one ratio
        return False
    known, scores = shape_trial.channels(counts), np.zeros(channels.trace.variables)
    try:
        match_kept_channels(channels, known, scores, budget.heads(counts))
    except ChannelMismatchError:
        return False
    return True


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


def _candidates(
    shape_trial: ShapeTrial, free: list[int], module: str, tried: Counts
) -> tuple[list[int], str]:
    """The groups with tensors in the failing module, or in the nearest one around it, that fail
    together without any others.
    """
    while module:
        found = [n for n in free if shape_trial.budget.groups[n].inside(module)]
        if found and shape_trial.failing_module({n: tried[n] for n in found}) is not None:
            return found, module
        module = module.rpartition(".")[0]
    return free, module


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
    return len(kinds) == 1 and groups[0].inside(homes[0]) == groups[1].inside(homes[1])


def _home(group: ChannelGroup) -> str:
    """The innermost module that all of a group's tensors lie in."""
    paths = [name.split(".")[:-1] for name, _ in group.axis_counts]
    shared = takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False))
    return ".".join(parts[0] for parts in shared)
