"""Ranks that were chosen for layers before pruning made them narrower."""

from collections.abc import Mapping, Sequence

from compression.factorization import Rule
from compression.factorization.candidate import Candidate


class ChosenRanks(Rule):
    """Ranks that were chosen layer by layer, as far as a narrower layer has them.

    Args:
        ranks: by layer.
    """

    nothing = "whole by the optimum"

    def __init__(self, ranks: Mapping[str, Sequence[int]]) -> None:
        self.ranks = ranks

    def rank(self, candidate: Candidate, number: int, rounds: int) -> list[int]:
        """The rank of a layer; zeros leave it whole."""
        wanted = self.ranks.get(candidate.name) or [0] * len(candidate.max_rank)
        return [min(pair) for pair in zip(wanted, candidate.max_rank, strict=True)]

    def why(self) -> str:
        """Always `hybrid`."""
        return "hybrid"
