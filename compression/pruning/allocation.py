"""Which ratio of its channels each group keeps: the same one, what one threshold for all channels
or for all of one structure leaves, or what each can lose alone.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

import numpy as np

from compression.bisection import TOLERANCE, Solution, UnreachableTargetError
from compression.pruning.channel_budget import ChannelBudget, Counts
from compression.pruning.channel_groups import Channels
from compression.sensitivity import SensitivityCurves
from compression.target import RoundTarget

Ratios = Callable[[float], list[float]]  # of each group, at a setting of the parameter in 0..1


def uniform_ratios(budget: ChannelBudget) -> Ratios:
    """Every group keeps the same ratio."""
    return lambda parameter: [parameter] * len(budget.groups)


def sensitivity_ratios(budget: ChannelBudget, curves: SensitivityCurves) -> Ratios:
    """Every group keeps what it needs to lose, alone, no more F1 than one bound."""

    def ratios(parameter: float) -> list[float]:
        bound = curves.bound_at(parameter)
        return [curves.ratio(name, bound) for name in budget.names]

    return ratios


def global_ratios(
    budget: ChannelBudget,
    channels: Channels,
    scores: np.ndarray,
    *,
    normalize: bool,
    classes: Sequence[Hashable] | None = None,
) -> Ratios:
    """Every channel above one threshold stays, wherever it is; or above that of its class.

    Args:
        budget: has the groups.
        channels: of the network.
        scores: by number of the channel.
        normalize: divide by the group's mean first, for scores whose scale differs by layer.
        classes: of each group; channels compete inside a class only, and every class keeps the
            same ratio. All in one where None.
    """
    of_group = []
    for group in budget.groups:
        numbers = [c for s in group.signatures for c in channels.members[s, False]]
        own = scores[numbers]
        of_group.append(own / max(own.mean(), 1e-30) if normalize else own)
    members: dict[Hashable, list[int]] = defaultdict(list)
    for number in range(len(of_group)):
        members[None if classes is None else classes[number]].append(number)
    ranked = [
        (numbers, np.sort(np.concatenate([of_group[n] for n in numbers]))[::-1])
        for numbers in members.values()
    ]

    def ratios(parameter: float) -> list[float]:
        found = [0.0] * len(of_group)
        for numbers, descending in ranked:
            kept = round(parameter * len(descending))
            for n in numbers if kept else ():
                found[n] = float((of_group[n] >= descending[kept - 1]).mean())
        return found

    return ratios


def choose_counts(
    goal: RoundTarget | float, ratios: Ratios, budget: ChannelBudget
) -> tuple[dict[int, int], str]:
    """The parts that each group keeps for a target, or for a ratio of the channels, and a report.

    Raises:
        UnreachableTargetError: even the smallest sizes cost more.
    """
    if not isinstance(goal, RoundTarget):
        counts = {n: budget.nearest(n, ratio) for n, ratio in enumerate(ratios(goal))}
        return counts, f"{goal:.3g} of the channels"
    try:
        counts, solution = meet_target(budget.without_coarse(), ratios, goal)
    except UnreachableTargetError:  # only as far as it must be, layers are cut in large parts
        counts, solution = meet_target(budget, ratios, goal)
    return counts, goal.report(solution)


def meet_target(
    budget: ChannelBudget, ratios: Ratios, goal: RoundTarget
) -> tuple[dict[int, int], Solution]:
    """The parts that each group keeps, and what the network costs then.

    Where the bisection ends below the goal, single groups get a part back, those that were
    rounded down most first.

    Raises:
        UnreachableTargetError: even the smallest sizes cost more.
    """

    def counts_at(parameter: float) -> dict[int, int]:
        return {n: budget.nearest(n, ratio) for n, ratio in enumerate(ratios(parameter))}

    def cost_of(counts: Counts) -> int:
        return budget.cost(counts, goal.target.measure)

    solution = goal.solve(lambda parameter: cost_of(counts_at(parameter)))
    counts, wanted = counts_at(solution.parameter), ratios(solution.parameter)
    lack = {n: wanted[n] - counts[n] / g.granularity for n, g in enumerate(budget.groups)}
    order, moved = sorted(lack, key=lambda n: lack[n], reverse=True), True
    while moved and not solution.reached and solution.cost < goal.cost:
        moved = False
        for n in order:
            above = [k for k in budget.allowed[n] if k > counts[n]]
            if above and cost_of({**counts, n: above[0]}) <= goal.cost * (1 + TOLERANCE):
                counts, moved = {**counts, n: above[0]}, True
                reached = abs(cost_of(counts) - goal.cost) <= TOLERANCE * goal.cost
                solution = replace(solution, cost=cost_of(counts), reached=reached)
            if solution.reached:
                break
    return counts, solution
