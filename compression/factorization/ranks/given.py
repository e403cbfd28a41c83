"""Ranks that the user names, by layer."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from compression.errors import CompressionError
from compression.factorization.candidate import Candidate
from compression.factorization.ranks.rule import Rule, rank_in_round
from compression.step import chosen


class Given(Rule):
    """Ranks by layer name or pattern; of several patterns that match, the last one counts.

    Args:
        ranks: pattern -> a rank, or one for each mode such as [out, in]; 0 leaves the layer alone.
        step: name of the step, for errors.
    """

    nothing = "given no rank"
    named = True

    def __init__(self, ranks: Mapping[str, int | Sequence[int]], step: str) -> None:
        self.ranks, self.step = dict(ranks), step

    def check(self, candidates: Sequence[Candidate]) -> None:
        chosen([candidate.name for candidate in candidates], self.ranks, [])
        for candidate in candidates:
            self._asked(candidate)

    def rank(self, candidate: Candidate, number: int, rounds: int) -> list[int]:
        asked = self._asked(candidate)
        if not all(asked):
            return [0] * len(asked)
        pairs = zip(asked, candidate.full, strict=True)
        return [rank_in_round(final, full, number, rounds) for final, full in pairs]

    def why(self) -> str:
        return "the ranks given"

    def _asked(self, candidate: Candidate) -> list[int]:
        matching = [p for p in self.ranks if fnmatchcase(candidate.name, p)]
        asked = self.ranks[matching[-1]] if matching else 0
        full = candidate.full
        ranks = [asked] * len(full) if isinstance(asked, int) else list(asked)
        if len(ranks) != len(full):
            raise CompressionError(
                f"{self.step}.ranks gives {candidate.name} the ranks {ranks}, but a {self.step} "
                f"product has {len(full)}."
            )
        if any(rank > most for rank, most in zip(ranks, full, strict=True)):
            most = full[0] if len(full) == 1 else full
            raise CompressionError(
                f"{self.step}.ranks gives {candidate.name} the rank {asked}, which is larger than "
                f"the layer's own, {most}."
            )
        return ranks
