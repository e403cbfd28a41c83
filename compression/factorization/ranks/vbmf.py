"""Ranks from the noise in the weights, as EVBMF sees it."""

from compression.factorization.candidate import Candidate
from compression.factorization.ranks.evbmf import evbmf_rank
from compression.factorization.ranks.rule import Rule, rank_in_round


class VBMF(Rule):
    """Goes from the full rank towards the one of EVBMF; a layer that is all noise is left alone.

    All the way down, trained layers end with ranks of two or three and lose what they knew;
    Gusak et al. 2019, "Automated Multi-Stage Compression of Neural Networks", section 3.2, stop on
    the way. Of several groups the one with the highest rank counts.

    Args:
        strength: how far to go, in (0, 1]; 1 is the rank of EVBMF itself.
    """

    nothing = "nothing but noise to EVBMF"

    def __init__(self, strength: float) -> None:
        self.strength = strength

    def rank(self, candidate: Candidate, number: int, rounds: int) -> list[int]:
        found = [
            max(evbmf_rank(row, spectrum.rows, spectrum.columns) for row in spectrum.values.numpy())
            for spectrum in candidate.spectra
        ]
        if not all(found):
            return [0] * len(found)
        pairs = list(zip(candidate.full, found, strict=True))
        final = [full - int(self.strength * (full - least)) for full, least in pairs]
        return [
            rank_in_round(rank, full, number, rounds)
            for rank, (full, _) in zip(final, pairs, strict=True)
        ]

    def why(self) -> str:
        return f"EVBMF at {self.strength:.4g}"
