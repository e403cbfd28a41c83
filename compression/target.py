"""The target of a step: a share of the MACs, parameters or latency that it was entered with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from compression.errors import CompressionError
from compression.schema import require_share

TOLERANCE = 0.02  # a cost this near to the goal, relative to the goal, meets it
FINEST = 1e-4  # of the knob's range: settings nearer to each other count as the same
MEASURES = {"macs": "MACs", "params": "parameters", "latency": "latency"}


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


class OutOfReach(CompressionError):
    """No setting of the step meets the target; it can go from `least` to `most`, shares of what
    it was entered with.
    """

    def __init__(self, sentence: str, least: float, most: float) -> None:
        super().__init__(sentence)
        self.least, self.most = least, most


@dataclass(frozen=True)
class Target:
    """A cost to reach.

    Attributes:
        measure: `macs`, `params` or `latency`.
        share: of that cost of the network entering the step, in (0, 1].
    """

    measure: str
    share: float

    @classmethod
    def of(
        cls, setting: Mapping[str, float | None] | None, place: str = "target"
    ) -> "Target | None":
        """Read what a user wrote, such as `{"macs": 0.5}`; None if it asks for nothing.

        Args:
            setting: one measure and its share; others may be there as None.
            place: the key that it stands under, for the error.

        Raises:
            CompressionError: it is no target.
        """
        if setting is not None and not isinstance(setting, Mapping):
            raise CompressionError(
                f"{place} is a measure and a share as {{macs: 0.5}}, not {setting!r}."
            )
        asked = {key: share for key, share in (setting or {}).items() if share is not None}
        if not asked:
            return None
        if len(asked) > 1:
            raise CompressionError(f"{place} names {' and '.join(asked)}; one can be solved for.")
        ((measure, share),) = asked.items()
        if measure not in MEASURES:
            raise CompressionError(
                f"{place} knows no {measure!r}; there are {', '.join(MEASURES)}."
            )
        require_share(f"{place}.{measure}", share)
        return cls(measure, float(share))

    def solve(
        self,
        cost_at: Callable[[float], float],
        entry_cost: Mapping[str, float],
        *,
        round: int = 0,
        rounds: int = 1,
        low: float = 0.0,
        high: float = 1.0,
        tolerance: float = TOLERANCE,
    ) -> Solution:
        """The setting of a step's knob that meets this target, or a round's part of the way.

        Args:
            cost_at: MACs (of one image) or parameters of the *whole* network at a setting.
            entry_cost: of the network as it entered the step, see `Context`.
            round: from 0.
            rounds: of the step.
            low: the setting with the cheapest network.
            high: the setting that changes the least.
            tolerance: see the function `solve`.

        Raises:
            OutOfReach: says how far this step can go.
        """
        entered = entry_cost[self.measure]
        share = round_target(self.share, round, rounds)
        try:
            return solve(cost_at, share * entered, low=low, high=high, tolerance=tolerance)
        except Unreachable as error:
            reach = error.least / entered, error.most / entered
            raise self.out_of_reach(*reach, round=round, rounds=rounds) from None

    def report(self, solution: Solution, entry_cost: Mapping[str, float]) -> str:
        """`50.3% of the MACs`, and a word where the goal could not be met."""
        found = solution.cost / entry_cost[self.measure]
        text = f"{found:.1%} of the {MEASURES[self.measure]}"
        text += ", measured" if self.measure == "latency" else ""
        return text if solution.reached else f"{text}, the nearest that can be had below the target"

    def out_of_reach(
        self, least: float, most: float, *, round: int = 0, rounds: int = 1
    ) -> OutOfReach:
        """The refusal of a step that can only go from `least` to `most` of what it entered with."""
        asked = f"target.{self.measure}={self.share:.4g}"
        if rounds > 1:
            share = round_target(self.share, round, rounds)
            asked += f" (in round {round + 1} of {rounds}: {share:.4g})"
        what = f"of the {MEASURES[self.measure]} it entered with"
        reach = f"this step can bring the network to between {least:.4f} and {most:.4f} {what}"
        if least >= most:
            better = "faster" if self.measure == "latency" else "cheaper"
            reach = (
                f"no setting of this step makes the network {better}; it stays at {most:.4g} {what}"
            )
        return OutOfReach(f"{asked} cannot be reached: {reach}.", least, most)


@dataclass(frozen=True)
class Aim:
    """A target, and where on the way to it a round is.

    Attributes:
        target: of the step.
        entered: cost of the network as it entered the step, see `Context`.
        round: from 0.
        rounds: of the step.
    """

    target: Target
    entered: Mapping[str, float]
    round: int = 0
    rounds: int = 1

    @property
    def goal(self) -> float:
        """The cost to reach in this round."""
        share = round_target(self.target.share, self.round, self.rounds)
        return share * self.entered[self.target.measure]

    def solve(self, cost_at: Callable[[float], float]) -> Solution:
        """See `Target.solve`."""
        return self.target.solve(cost_at, self.entered, round=self.round, rounds=self.rounds)

    def report(self, solution: Solution) -> str:
        """See `Target.report`."""
        return self.target.report(solution, self.entered)


def round_target(target: float, round: int, rounds: int) -> float:
    """What round `round` of `rounds` (from 0) aims at, so that the last one reaches `target`."""
    return 1 - (1 - target) * (round + 1) / rounds
