"""Bisection over a step's own knob until the network costs what was asked for."""

from collections.abc import Callable
from dataclasses import dataclass

from compression.errors import CompressionError

TOLERANCE = 0.02  # a cost this near to the goal, relative to the goal, meets it
FINEST = 1e-4  # of the knob's range: settings nearer to each other count as the same


@dataclass(frozen=True)
class Solution:
    """A setting of the knob.

    Attributes:
        knob: the setting.
        cost: of the network at this setting, in the goal's unit.
        reached: whether that is within the tolerance of the goal.
    """

    knob: float
    cost: float
    reached: bool


class Unreachable(CompressionError):
    """Even the cheapest setting costs too much; `least` and `most` are the reachable costs."""

    def __init__(self, goal: float, least: float, most: float) -> None:
        super().__init__(f"{goal:,.6g} is not in the reachable range {least:,.6g}-{most:,.6g}.")
        self.least, self.most = least, most


def solve(
    cost_at: Callable[[float], float],
    goal: float,
    *,
    low: float = 0.0,
    high: float = 1.0,
    tolerance: float = TOLERANCE,
) -> Solution:
    """The setting in `low..high` at which the cost meets `goal`, else the nearest one below it.

    Ends after at most 16 calls of `cost_at`, also where the cost moves in steps or not at all.

    Args:
        cost_at: cost of the network at a setting; grows with it, if need be in steps.
        goal: the cost wanted.
        low: the setting with the cheapest network.
        high: the setting that changes the least.
        tolerance: a cost within this share of the goal, above or below, meets it.

    Raises:
        Unreachable: even the cheapest network costs more.
    """

    def at(knob: float) -> Solution:
        cost = cost_at(knob)
        return Solution(knob, cost, abs(cost - goal) <= tolerance * goal)

    gentlest = at(high)
    if gentlest.reached or gentlest.cost < goal:
        return gentlest
    best = at(low)
    if not best.reached and best.cost > goal:
        raise Unreachable(goal, best.cost, gentlest.cost)
    finest = FINEST * abs(high - low)
    while not best.reached and abs(high - low) > finest:
        found = at((low + high) / 2)
        low, high = (low, found.knob) if found.cost > goal else (found.knob, high)
        if found.reached or best.cost < found.cost <= goal:
            best = found
    return best
