"""Ranks as a fixed share of the channels."""

from compression.factorization.candidate import Candidate
from compression.factorization.ranks.rule import Rule, share_in_round


class Ratio(Rule):
    """The same share of every layer's channels, or of the rank it has.

    Args:
        share: in (0, 1]; at a target's lower end also 0, which is rank 1.
    """

    def __init__(self, share: float) -> None:
        self.share = share

    def rank(self, candidate: Candidate, number: int, rounds: int) -> list[int]:
        share = share_in_round(self.share, candidate, number, rounds)
        return [max(1, round(share * full)) for full in candidate.full]

    def why(self) -> str:
        return f"ratio {self.share:.4g}"
