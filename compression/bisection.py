"""Bisection over a step's parameter, on a cost that may grow in steps."""

from collections.abc import Callable
from dataclasses import dataclass

from compression.errors import CompressionError

TOLERANCE = 0.02  # a cost this near to the goal, relative to the goal, meets it
FINEST = 1e-4  # of the parameter's range: settings nearer to each other count as the same


@dataclass(frozen=True)
class Solution:
    """A setting of the parameter.

    Attributes:
        parameter: the setting.
        cost: of the network at this setting, in the goal's unit.
        reached: whether that is within the tolerance of the goal.
    """

    parameter: float
    cost: float
    reached: bool


class UnreachableTargetError(CompressionError):
    """No setting meets the target.

    Attributes:
        minimum: cost of the cheapest setting, in the unit of what was asked for.
        maximum: cost of the dearest one.
    """

    def __init__(self, sentence: str, minimum: float, maximum: float) -> None:
        super().__init__(sentence)
        self.minimum, self.maximum = minimum, maximum


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
        tolerance: a cost within this ratio of the goal, above or below, meets it.

    Raises:
        UnreachableTargetError: even the cheapest network costs more.
    """

    def at(parameter: float) -> Solution:
        cost = cost_at(parameter)
        return Solution(parameter, cost, abs(cost - goal) <= tolerance * goal)

    gentlest = at(high)
    if gentlest.reached or gentlest.cost < goal:
        return gentlest
    best = at(low)
    if not best.reached and best.cost > goal:
        reach = f"{best.cost:,.6g}-{gentlest.cost:,.6g}"
        sentence = f"{goal:,.6g} is not in the reachable range {reach}."
        raise UnreachableTargetError(sentence, best.cost, gentlest.cost)
    finest = FINEST * abs(high - low)
    while not best.reached and abs(high - low) > finest:
        found = at((low + high) / 2)
        low, high = (low, found.parameter) if found.cost > goal else (found.parameter, high)
        if found.reached or best.cost < found.cost <= goal:
            best = found
    return best
