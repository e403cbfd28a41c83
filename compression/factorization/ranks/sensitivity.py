"""Ranks by how much macro-F1 each layer loses alone, see `loss_bound`."""

from collections.abc import Callable

from compression.factorization.candidate import Candidate
from compression.factorization.ranks.rule import Rule
from compression.sensitivity.loss_bound import LossBounds
from compression.sensitivity.scan import Scan


class Sensitivity(Rule):
    """The smallest ranks, as shares of the full ones, that lose no more than a bound.

    Of several rounds, each begins with a scan of its own and has its part of the bound.

    Args:
        bound: macro-F1 that a layer may lose alone.
        bounds: what a scan has found; without it the rule must be `informed` first.
    """

    def __init__(self, bound: float, bounds: LossBounds | None = None) -> None:
        self.bound, self.bounds = bound, bounds

    def informed(self, scan: Callable[[], Scan]) -> "Sensitivity":
        return Sensitivity(self.bound, LossBounds(scan()))

    def at(self, knob: float) -> "Sensitivity":
        return Sensitivity(self.bounds.bound_at(knob), self.bounds)

    def rank(self, candidate: Candidate, number: int, rounds: int) -> list[int]:
        share = self.bounds.share(candidate.name, self.bound / rounds)
        return [max(1, round(share * full)) for full in candidate.full]

    def why(self) -> str:
        return f"sensitivity (alone {self.bound:.4g} of F1 at most)"
