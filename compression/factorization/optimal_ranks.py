"""The ranks that cost the whole network least under a target, each layer weighed by what it loses.

Free of torch, so that the rule is known before it is.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from compression.errors import CompressionError
from compression.factorization.rank_rule import Rule
from compression.target import RoundTarget

if TYPE_CHECKING:  # they load torch
    from compression.allocation import Option
    from compression.factorization.candidate import Candidate
    from compression.factorization.layer_timer import LayerTimer
    from compression.sensitivity import LossCurves, LossPoint

# How many ratios of the full rank are weighed against each other: by arithmetic, by the clock.
RATIOS, TIMED_RATIOS = 64, 16
SIDE_BY_SIDE = 8  # channels that a processor computes at once


class OptimalRanks(Rule):
    """One rank of each layer, or none, so that what layers lose sums up to the least.

    A loss is the divergence of the logits on training images where the layer alone is factorised;
    `allocation.solve_knapsack` shares the budget out.

    Args:
        curves: of the losses; without them `with_losses` comes first.
        chosen: by layer, with the ranks as treatments; without it `meet` comes first.
        no_faster: why layers are left whole that do not measure faster, by name.
    """

    nothing = "whole by the optimum"
    needs_target = True

    def __init__(
        self,
        curves: "LossCurves | None" = None,
        chosen: "Mapping[str, Option] | None" = None,
        no_faster: Mapping[str, str] | None = None,
    ) -> None:
        self.curves, self.chosen, self.no_faster = curves, chosen, no_faster or {}

    def with_losses(self, scan: "Callable[[], Sequence[LossPoint]]") -> "OptimalRanks":
        """The rule that knows what layers lose in the network as it is now."""
        from compression.sensitivity import LossCurves  # it loads torch

        return OptimalRanks(LossCurves(scan()))

    def meet(
        self,
        goal: RoundTarget,
        now: float,
        candidates: "Sequence[Candidate]",
        timer: "LayerTimer | None",
    ) -> "tuple[OptimalRanks, str]":
        """The choice within a goal; of milliseconds by the times of the layers, added up.

        Raises:
            UnreachableTargetError: the cheapest options of all layers cost more.
            CompressionError: there has been no scan.
        """
        from compression.allocation import choose_options  # it loads numpy

        options, no_faster = {}, {}
        for candidate in candidates:
            options[candidate.name], slow = self.options(candidate, goal.target.measure, timer)
            if slow:
                no_faster[candidate.name] = slow
        chosen, report = choose_options(options, goal, now)
        return OptimalRanks(self.curves, chosen, no_faster), report

    def options(
        self, candidate: "Candidate", measure: str, timer: "LayerTimer | None"
    ) -> "tuple[list[Option], str]":
        """What may become of a layer, first left whole; and why, where no product is faster.

        Raises:
            CompressionError: there has been no scan.
        """
        from compression.allocation import Option  # it loads numpy

        ranks = self._ranks(candidate, timed=timer is not None)
        slow = ""
        if timer is not None and ranks:
            before, times = timer.options(candidate, ranks)
            faster = [timer.gains(before, after) for after in times]
            if not any(faster):
                slow = f"no faster ({before:.3g} -> {min(times):.3g} ms at best)"
            ranks = [rank for rank, gains in zip(ranks, faster, strict=True) if gains]
        if timer is not None and measure == "latency":
            before, costs = timer.options(candidate, ranks) if ranks else (0.0, [])
        else:
            before = candidate.cost[measure]
            costs = [candidate.cost_at(rank)[measure] for rank in ranks]
        treated = [
            Option(loss=self._loss(candidate, rank), cost=cost, treatment=rank)
            for rank, cost in zip(ranks, costs, strict=True)
        ]
        return [Option(loss=0.0, cost=before), *treated], slow

    def rank(self, candidate: "Candidate", number: int, rounds: int) -> list[int]:
        """The rank chosen; zeros where a layer is better left whole.

        Raises:
            CompressionError: no target was met first.
        """
        if self.chosen is None:
            raise CompressionError("The rule optimal chooses by a target: meet comes first.")
        return self.chosen[candidate.name].treatment or [0] * len(candidate.max_rank)

    def why(self) -> str:
        """Always `optimal`."""
        return "optimal"

    def why_of(self, layer: str) -> str:
        """With what the layer loses alone, as `optimal (alone it loses 0.02 nats)`."""
        if self.chosen is None:
            return self.why()
        return f"optimal (alone it loses {self.chosen[layer].loss:.2g} nats)"

    def nothing_of(self, layer: str) -> str:
        """Whether no product of the layer is faster, or it is better left whole."""
        return self.no_faster.get(layer, self.nothing)

    def _ranks(self, candidate: "Candidate", *, timed: bool) -> list[list[int]]:
        """Those at which the layer is cheaper and its loss known, the largest first."""
        count = TIMED_RATIOS if timed else RATIOS
        found = {
            tuple(candidate.clamp_min_rank(_rank(candidate.max_rank, n / count, timed=timed)))
            for n in range(1, count)
        }
        useful = [candidate.decomposition.useful(rank, candidate.geometry) for rank in found]
        known = (rank for rank in useful if self._loss(candidate, rank) < float("inf"))
        return sorted(filter(candidate.is_cheaper, known), reverse=True)

    def _loss(self, candidate: "Candidate", rank: Sequence[int]) -> float:
        if self.curves is None:
            raise CompressionError("The rule optimal needs a scan first: with_losses.")
        kept = min(own / full for own, full in zip(rank, candidate.max_rank, strict=True))
        return self.curves.loss(candidate.name, kept)


def _rank(full: Sequence[int], ratio: float, *, timed: bool) -> list[int]:
    """A ratio of the full ranks; for the clock in numbers of channels that are computed at once."""
    ranks = [max(1, round(ratio * own)) for own in full]
    if not timed:
        return ranks
    return [
        rank if rank < SIDE_BY_SIDE else SIDE_BY_SIDE * round(rank / SIDE_BY_SIDE) for rank in ranks
    ]
