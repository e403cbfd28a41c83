"""The target of a step: `{macs: 0.5}` or `{params: 0.3}` of the network as it entered the step."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from compression.bisection import TOLERANCE, Solution, Unreachable, solve
from compression.errors import CompressionError

MEASURES = {"macs": "MACs", "params": "parameters"}


@dataclass(frozen=True)
class Target:
    """A cost to reach.

    Attributes:
        measure: `macs` or `params`.
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
        if measure == "latency":
            raise CompressionError(
                f"{place}.latency cannot be solved for yet; give a target in macs or params."
            )
        if measure not in MEASURES:
            raise CompressionError(
                f"{place} knows no {measure!r}; there are {', '.join(MEASURES)}."
            )
        number = isinstance(share, int | float) and not isinstance(share, bool)
        if not number or not 0 < share <= 1:
            raise CompressionError(f"{place}.{measure} is a share in (0, 1], not {share!r}.")
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
            tolerance: see `bisection.solve`.

        Raises:
            CompressionError: out of reach; says how far this step can go.
        """
        entered = entry_cost[self.measure]
        share = round_target(self.share, round, rounds)
        try:
            return solve(cost_at, share * entered, low=low, high=high, tolerance=tolerance)
        except Unreachable as error:
            least, most = error.least / entered, error.most / entered
            asked = f"target.{self.measure}={self.share:.4g}"
            if rounds > 1:
                asked += f" (in round {round + 1} of {rounds}: {share:.4g})"
            raise CompressionError(asked + self._out_of_reach(least, most)) from None

    def report(self, solution: Solution, entry_cost: Mapping[str, float]) -> str:
        """`50.3% of the MACs`, and a word where the goal could not be met."""
        found = solution.cost / entry_cost[self.measure]
        text = f"{found:.1%} of the {MEASURES[self.measure]}"
        return text if solution.reached else f"{text}, the nearest that can be had below the target"

    def _out_of_reach(self, least: float, most: float) -> str:
        what = f"of the {MEASURES[self.measure]} it entered with"
        if least >= most:
            return (
                " cannot be reached: no setting of this step makes the network cheaper; it stays "
                f"at {most:.4g} {what}."
            )
        return (
            f" cannot be reached: this step can bring the network to between {least:.4f} and "
            f"{most:.4f} {what}."
        )


def round_target(target: float, round: int, rounds: int) -> float:
    """What round `round` of `rounds` (from 0) aims at, so that the last one reaches `target`."""
    return 1 - (1 - target) * (round + 1) / rounds
