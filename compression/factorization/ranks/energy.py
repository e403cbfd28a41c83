"""Ranks that keep a share of the energy: the squared singular values of each unfolding."""

import torch
from torch import Tensor

from compression.factorization.candidate import Candidate
from compression.factorization.ranks.rule import Rule, share_in_round


class Energy(Rule):
    """The smallest ranks that keep `share` of the squared singular values.

    Where a product has ranks of two modes, each mode keeps that share.

    Args:
        share: in (0, 1]; at a target's lower end also 0, which is rank 1.
    """

    def __init__(self, share: float) -> None:
        self.share = share

    def rank(self, candidate: Candidate, number: int, rounds: int) -> list[int]:
        share = share_in_round(self.share, candidate, number, rounds)
        return [energy_rank(spectrum.values, share) for spectrum in candidate.spectra]

    def why(self) -> str:
        return f"energy {self.share:.4g}"


def energy_rank(values: Tensor, share: float) -> int:
    """How many leading singular values hold `share` of the energy, at least 1.

    Args:
        values: G x n, largest first; the groups have one rank and share one energy.
        share: in 0..1.
    """
    kept = values.square().sum(0).cumsum(0)
    missing = kept < share * kept[-1] * (1 - 1e-12)  # the sum's own error must not add a rank
    return min(1 + int(torch.count_nonzero(missing)), len(kept))
