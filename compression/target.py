"""The target of a step: a ratio of the MACs, parameters, bytes or latency that it entered with.

It is met by bisection over the step's own parameter.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import PlainValidator

from compression.bisection import TOLERANCE, Solution, UnreachableTargetError, solve
from compression.errors import CompressionError
from compression.schema import is_number, nearest, shown

MEASURES = {
    "macs": "MACs",
    "params": "parameters",
    "file_bytes": "bytes of saved weights",
    "latency": "latency",
}


@dataclass(frozen=True)
class Target:
    """A cost to reach.

    Attributes:
        measure: `macs`, `params`, `file_bytes` or `latency`.
        ratio: of that cost of the network entering the step, in (0, 1].
    """

    measure: str
    ratio: float

    @classmethod
    def of(
        cls, setting: "Mapping[str, float | None] | Target | None", place: str = "target"
    ) -> "Target | None":
        """Read what a user wrote, such as `{"macs": 0.5}`; None if it asks for nothing.

        Args:
            setting: one measure and its ratio; others may be there as None; or a target.
            place: the key that it stands under, for the error.

        Raises:
            CompressionError: it is no target.
        """
        if isinstance(setting, Target):
            return setting
        if setting is not None and not isinstance(setting, Mapping):
            raise CompressionError(
                f"{place}={shown(setting)} is not allowed; it must be a measure and a ratio, as "
                "{macs: 0.5}."
            )
        asked = {key: ratio for key, ratio in (setting or {}).items() if ratio is not None}
        if not asked:
            return None
        if len(asked) > 1:
            raise CompressionError(f"{place} names {' and '.join(asked)}; one can be solved for.")
        ((measure, ratio),) = asked.items()
        if measure not in MEASURES:
            raise CompressionError(
                f"There is no key {place}.{measure}{nearest(measure, MEASURES)}; there are "
                f"{', '.join(MEASURES)}."
            )
        if not (is_number(ratio) and 0 < ratio <= 1):
            raise CompressionError(
                f"{place}.{measure}={shown(ratio)} is not allowed; it must be a ratio in (0, 1]."
            )
        return cls(measure, float(ratio))

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
        """The setting of a step's parameter that meets this target, or a round's part of the way.

        Args:
            cost_at: MACs (of one image), parameters or bytes of the *whole* network at a setting.
            entry_cost: of the network as it entered the step, see `Context`.
            round: from 0.
            rounds: of the step.
            low: the setting with the cheapest network.
            high: the setting that changes the least.
            tolerance: see the function `solve`.

        Raises:
            UnreachableTargetError: says how far this step can go.
        """
        entered = entry_cost[self.measure]
        ratio = round_ratio(self.ratio, round, rounds)
        try:
            return solve(cost_at, ratio * entered, low=low, high=high, tolerance=tolerance)
        except UnreachableTargetError as error:
            reach = error.minimum / entered, error.maximum / entered
            raise self.unreachable(*reach, round=round, rounds=rounds) from None

    def report(self, solution: Solution, entry_cost: Mapping[str, float]) -> str:
        """`50.3% of the MACs`, and a word where the goal could not be met."""
        found = solution.cost / entry_cost[self.measure]
        text = f"{found:.1%} of the {MEASURES[self.measure]}"
        text += ", measured" if self.measure == "latency" else ""
        return text if solution.reached else f"{text}, the nearest that can be had below the target"

    def unreachable(
        self, minimum: float, maximum: float, *, round: int = 0, rounds: int = 1
    ) -> UnreachableTargetError:
        """The refusal of a step that can only reach `minimum` to `maximum`, as ratios."""
        asked = f"target.{self.measure}={self.ratio:.4g}"
        if rounds > 1:
            ratio = round_ratio(self.ratio, round, rounds)
            asked += f" (in round {round + 1} of {rounds}: {ratio:.4g})"
        what = f"of the {MEASURES[self.measure]} it entered with"
        reach = f"this step can bring the network to between {minimum:.4f} and {maximum:.4f} {what}"
        advice = "ask for no less than that"
        if minimum >= maximum:
            better = "faster" if self.measure == "latency" else "cheaper"
            reach = f"no setting of this step makes the network {better}; it stays at {maximum:.4g}"
            reach, advice = f"{reach} {what}", "choose another step"
        sentence = f"{asked} cannot be reached: {reach}; {advice}."
        return UnreachableTargetError(sentence, minimum, maximum)


# The declared type of a step's setting `target`: reads what `Target.of` does, and is a Target or
# None.
TargetSetting = Annotated[Any, PlainValidator(lambda setting: Target.of(setting, "{place}"))]


@dataclass(frozen=True)
class RoundTarget:
    """A target, and where on the way to it a round is.

    Attributes:
        target: of the step.
        entry_cost: of the network as it entered the step, see `Context`.
        round: from 0.
        rounds: of the step.
    """

    target: Target
    entry_cost: Mapping[str, float]
    round: int = 0
    rounds: int = 1

    @property
    def ratio(self) -> float:
        """The ratio to reach in this round."""
        return round_ratio(self.target.ratio, self.round, self.rounds)

    @property
    def cost(self) -> float:
        """The cost to reach in this round."""
        return self.ratio * self.entry_cost[self.target.measure]

    def solve(self, cost_at: Callable[[float], float]) -> Solution:
        """See `Target.solve`."""
        return self.target.solve(cost_at, self.entry_cost, round=self.round, rounds=self.rounds)

    def report(self, solution: Solution) -> str:
        """See `Target.report`."""
        return self.target.report(solution, self.entry_cost)

    def report_optimum(self, cost: float, loss: float) -> str:
        """The same of the least loss, in nats, that a cost below the goal can have."""
        solution = Solution(0.0, cost, self.cost - cost <= TOLERANCE * self.cost)
        return f"{self.report(solution)}, its layers' losses adding up to {loss:.2g} nats"

    def unreachable(self, minimum: float, maximum: float) -> UnreachableTargetError:
        """The refusal of a step that can only reach these costs; see `Target.unreachable`."""
        entered = self.entry_cost[self.target.measure]
        reach = minimum / entered, maximum / entered
        return self.target.unreachable(*reach, round=self.round, rounds=self.rounds)


def round_ratio(ratio: float, round: int, rounds: int) -> float:
    """What round `round` of `rounds` (from 0) aims at, so that the last one reaches `ratio`."""
    return 1 - (1 - ratio) * (round + 1) / rounds
