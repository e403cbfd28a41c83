"""Numbers of channels with which a network works: what was chosen is tried out, and what fails is
struck off.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from compression.errors import CompressionError
from compression.pruning.channel_budget import ChannelBudget
from compression.pruning.channel_group import ChannelGroup, layer_name
from compression.pruning.channel_groups import Channels
from compression.pruning.head_attention import REPLACING
from compression.pruning.kept_channels import ChannelMismatchError, match_kept_channels
from compression.pruning.prune_plan import KeptIndices, PrunePlan
from compression.pruning.pruning_state import PruningState
from compression.pruning.shape_trial import ShapeTrial
from compression.pruning.trace import IN, Key
from compression.step import Treatment

ATTEMPTS = 40

Choice = tuple[dict[int, int], str]  # counts of each group, and how they were chosen


class ChannelCounts(NamedTuple):
    """Sizes in which the network works.

    Attributes:
        counts: by number of the group, how many of its equal parts it keeps.
        kept: the indices that survive on every axis.
        report: how the counts were chosen.
        skipped: why groups were left whole that work in no other size, by number.
    """

    counts: dict[int, int]
    kept: dict[Key, list[int]]
    report: str
    skipped: dict[int, str]


def solve_channel_counts(
    state: PruningState, choose: Callable[[ChannelBudget], Choice], *, attempts: int = ATTEMPTS
) -> ChannelCounts:
    """Sizes in which the network works and all of its channels are known again.

    Args:
        state: of the network; stays as it is.
        choose: counts of each group out of what a budget allows, and how they were chosen. Asked
            again with less allowed where the network fails.
        attempts: how often it is asked.

    Raises:
        CompressionError: there are no such sizes.
    """
    offences: Counter[int] = Counter()
    shape_trial = state.shape_trial.copy()
    budget = shape_trial.budget
    why: dict[int, str] = {}
    for _ in range(attempts):
        counts, report = choose(budget)
        module = shape_trial.failing_module(counts)
        if module is not None:
            inside = [n for n, g in enumerate(budget.groups) if _in(g, module)]
            code = type(shape_trial.bare.get_submodule(module)).__name__
            forbidden = _forbid(budget, counts, inside, offences)
            why |= dict.fromkeys(forbidden, f"fixed by the code of {code}")
            continue
        smaller = shape_trial.channels(counts)
        try:
            heads = budget.heads(counts)
            kept = match_kept_channels(state.channels, smaller, state.scores, heads)
            return ChannelCounts(counts, kept, report, why)
        except ChannelMismatchError as error:
            keys = {key for signature in error.signatures for key, _ in signature.places}
            touched = [n for n, g in enumerate(budget.groups) if keys & g.axis_counts.keys()]
            forbidden = _forbid(budget, counts, touched, offences)
            why |= dict.fromkeys(forbidden, "its code computes with the number of its channels")
    raise CompressionError(
        "prune found no sizes in which this network works; name the layers that deal channels "
        "out in exclude."
    )


def _forbid(
    budget: ChannelBudget, counts: Mapping[int, int], numbers: Sequence[int], offences: Counter[int]
) -> list[int]:
    """These sizes do not work for these groups; those that are dealt out are to blame first.

    Such a group may try two other sizes: some numbers can be dealt out, others cannot. Gives the
    groups that have none left.
    """
    cut = [n for n in numbers if counts[n] < budget.groups[n].granularity]
    cut = cut or [n for n in counts if counts[n] < budget.groups[n].granularity]
    dealt = [n for n in cut if len(budget.groups[n].signatures) > 1]
    offences.update(dealt or cut)
    for number in dealt or cut:
        left = [k for k in budget.allowed[number] if k != counts[number]]
        again = number in dealt and offences[number] < 3
        budget.allowed[number] = left if again else [budget.groups[number].granularity]
    return [n for n in dealt or cut if len(budget.allowed[n]) == 1]


def _in(group: ChannelGroup, module: str) -> bool:
    return any(name.startswith(f"{module}." if module else "") for name, _ in group.axis_counts)


def group_treatments(
    state: PruningState,
    ratios: Sequence[float],
    importance: str,
    plan_of: Callable[[ChannelCounts], PrunePlan],
) -> list[Treatment]:
    """One for each group that can be cut and each ratio that cuts it.

    Args:
        state: of the network.
        ratios: of a group's channels to keep; the nearest allowed number of them is kept.
        importance: by which the channels are chosen, in words that tell it from all others.
        plan_of: makes a plan of the sizes.
    """
    budget, found = state.shape_trial.budget, []
    for number in state.prunable:
        for ratio in ratios:
            counts = {**budget.whole(), number: budget.nearest(number, ratio)}
            name, after, before = budget.layers(counts)[number]
            if after < before:
                told = f"{after} of {before} channels"
                if budget.groups[number].heads:
                    told = f"{counts[number]} of {budget.groups[number].granularity} heads"
                what = f"{told} by {importance}"
                plan = partial(_planned_alone, state, counts, plan_of)
                kept = after / before
                found.append(Treatment(layer=name, ratio=ratio, kept=kept, what=what, plan=plan))
    return found


def _planned_alone(
    state: PruningState, counts: dict[int, int], plan_of: Callable[[ChannelCounts], PrunePlan]
) -> PrunePlan | None:
    try:
        return plan_of(solve_channel_counts(state, lambda budget: (counts, "alone"), attempts=1))
    except CompressionError:
        return None


def plan_of_counts(state: PruningState, counts: ChannelCounts, why: str) -> PrunePlan:
    """The plan that cuts a network to these sizes.

    Args:
        state: of the network.
        counts: what is kept.
        why: importance, scope and what was reached, in words.
    """
    budget = state.shape_trial.budget
    axes = compact_axes(state.channels, counts.kept)
    cut = {name.rpartition(".")[0] for name in axes["axes"]}
    plan: PrunePlan = {
        **axes,
        "layers": [
            list(layer)
            for number, layer in enumerate(budget.layers(counts.counts))
            if number in state.prunable and number not in counts.skipped
        ],
        "why": why,
        "left": state.skipped
        | {budget.names[number]: why for number, why in counts.skipped.items()},
        "unknown": state.channels.trace.unknown,
    }
    if folded_layers := [name for name in state.parametrized if name in cut]:
        plan["folded"] = folded_layers
    if heads := _heads(state.shape_trial, counts.counts, axes["axes"]):
        plan["heads"] = heads
    return plan


def _heads(shape_trial: ShapeTrial, counts: Mapping[int, int], cut: Iterable[str]) -> dict:
    """[heads left, heads before] of attention modules that are no longer what they were.

    Such have lost heads, or have one of the cut tensors where another module stands for them.
    """
    before = shape_trial.budget.trace.heads
    inside = {layer_name(tensor) for tensor in cut}
    own = {
        name
        for name in before
        if isinstance(shape_trial.bare.get_submodule(name), REPLACING)
        and any(f"{layer}.".startswith(f"{name}.") for layer in inside)
    }
    heads = shape_trial.budget.heads(counts)
    return {n: [left, before[n]] for n, left in heads.items() if left < before[n] or n in own}


def compact_axes(channels: Channels, kept: dict[Key, list[int]]) -> KeptIndices:
    """The part of a plan that says what survives: every list of indices is written once.

    Args:
        channels: of the network.
        kept: the indices that survive on every axis.
    """
    lists: dict[tuple[int, ...], int] = {}
    axes: dict[str, dict[str, int]] = {}
    for (name, axis), indices in kept.items():
        if indices == list(range(channels.trace.keys[name, axis][1])):
            continue
        number = lists.setdefault(tuple(indices), len(lists))
        axes.setdefault(name, {})["1" if axis == IN else str(axis)] = number
    return {
        "kept": [list(indices) for indices in lists],
        "axes": axes,
        "shapes": {name: list(channels.trace.shapes[name]) for name in axes},
        "groups": {n: channels.trace.groups[n, IN] for n in axes if (n, IN) in kept},
    }
