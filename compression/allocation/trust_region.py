"""The least loss within a budget where costs do not add up, as those of layers that share widths.

Costs are linearised around the present choice, shared out as a knapsack, and linearised anew, as
far away as that keeps getting better: a trust region (Conn et al. 2000, "Trust-Region Methods").
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from compression.allocation.knapsack import ROUNDING, solve_knapsack
from compression.bisection import UnreachableTargetError
from compression.target import RoundTarget

BISECTIONS = 12  # of the way to the cheapest options, to begin with
TIGHTENINGS = 4  # of a budget that the linearised costs overran


class Costs(Protocol):
    """What a network costs under every choice of an option for each decision, by its number."""

    def whole(self, choice: Mapping[int, Any]) -> float:
        """Of the whole network."""

    def changes(
        self, choice: Mapping[int, Any], number: int, options: Sequence[Any]
    ) -> list[float]:
        """What each option of one decision adds, where all others stay as they are."""


def meet_goal(
    losses: Sequence[Mapping[Any, float]], costs: Costs, goal: RoundTarget
) -> tuple[dict[int, Any], str]:
    """What `minimize_loss` chooses for a goal, and a report.

    Raises:
        UnreachableTargetError: even the cheapest options cost more; says how far they go.
    """
    try:
        choice = minimize_loss(losses, costs, goal.cost)
    except UnreachableTargetError as error:
        raise goal.unreachable(error.minimum, error.maximum) from None
    return choice, goal.report_optimum(costs.whole(choice), total_loss(losses, choice))


def minimize_loss(
    losses: Sequence[Mapping[Any, float]], costs: Costs, limit: float
) -> dict[int, Any]:
    """A choice within the limit that no change of one decision, and few of several, can better.

    Args:
        losses: by decision, of each of its options, from the dearest to the cheapest.
        costs: of the network.
        limit: on them.

    Raises:
        UnreachableTargetError: the cheapest options cost more; has the costs of both ends.
    """
    choice = _start(losses, costs, limit)
    limit = max(limit, costs.whole(choice))  # which may be above it by a rounding error
    radius = max(map(len, losses), default=0)
    while radius:
        found = _near(losses, costs, choice, limit, radius)
        if total_loss(losses, found) < total_loss(losses, choice):
            choice = found
        else:
            radius //= 2
    return _alone(losses, costs, choice, limit)


def _start(losses: Sequence[Mapping[Any, float]], costs: Costs, limit: float) -> dict[int, Any]:
    """All decisions as far towards their cheapest options as the limit wants, about alike."""

    def at(ratio: float) -> dict[int, Any]:
        return {n: list(own)[round(ratio * (len(own) - 1))] for n, own in enumerate(losses)}

    found = at(1.0)
    ends = [costs.whole(at(ratio)) for ratio in (1.0, 0.0)]
    if ends[0] > limit * (1 + ROUNDING):
        raise UnreachableTargetError(f"No choice costs as little as {limit:,.6g}.", *ends)
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        choice = at(middle)
        if costs.whole(choice) <= limit:
            high, found = middle, choice
        else:
            low = middle
    return found


def total_loss(losses: Sequence[Mapping[Any, float]], choice: Mapping[int, Any]) -> float:
    """The sum of the decisions' losses."""
    return sum(own[choice[number]] for number, own in enumerate(losses))


def _near(
    losses: Sequence[Mapping[Any, float]],
    costs: Costs,
    choice: Mapping[int, Any],
    limit: float,
    radius: int,
) -> dict[int, Any]:
    """The best choice by costs as they are around the present one, which is given if none is."""
    options, changes = [], []
    for number, own in enumerate(losses):
        allowed = list(own)
        place = allowed.index(choice[number])
        near = allowed[max(0, place - radius) : place + radius + 1]
        options.append(near)
        changes.append(costs.changes(choice, number, near))
    values = [[own[option] for option in near] for own, near in zip(losses, options, strict=True)]
    spare = limit - costs.whole(choice)
    for _ in range(TIGHTENINGS):
        try:
            chosen = solve_knapsack(values, changes, spare)
        except UnreachableTargetError:
            break
        found = {n: near[i] for n, (near, i) in enumerate(zip(options, chosen, strict=True))}
        over = costs.whole(found) - limit
        if over <= 0:
            return found
        spare -= over
    return dict(choice)


def _alone(
    losses: Sequence[Mapping[Any, float]], costs: Costs, choice: Mapping[int, Any], limit: float
) -> dict[int, Any]:
    """Decision by decision, the change of one that gains most, until none gains."""
    found = dict(choice)
    while True:
        spare = limit - costs.whole(found)
        gains = {}
        for number, own in enumerate(losses):
            better = [option for option in own if own[option] < own[found[number]]]
            for option, added in zip(better, costs.changes(found, number, better), strict=True):
                if added <= spare:
                    gains[own[found[number]] - own[option]] = number, option
        if not gains:
            return found
        number, option = gains[max(gains)]
        found[number] = option
