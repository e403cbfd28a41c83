"""The rules that choose ranks by a number; free of torch, so that they are known before it is."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from compression.errors import CompressionError
from compression.factorization.rank_rule import Rule, rank_in_round, ratio_in_round

if TYPE_CHECKING:  # they load torch
    from torch import Tensor

    from compression.factorization.candidate import Candidate
    from compression.sensitivity import Scan, SensitivityCurves


class Ratio(Rule):
    """The same ratio of every layer's channels, or of the rank it has.

    Args:
        ratio: in (0, 1]; at a target's lower end also 0, which is rank 1.
    """

    setting = "ratio"
    by_size = True

    def __init__(self, ratio: float) -> None:
        self.ratio = ratio

    def rank(self, candidate: "Candidate", number: int, rounds: int) -> list[int]:
        """That ratio of the largest rank of each mode, rounded; at least 1."""
        ratio = ratio_in_round(self.ratio, candidate, number, rounds)
        return [max(1, round(ratio * full)) for full in candidate.max_rank]

    def why(self) -> str:
        """The rule and its ratio, as `ratio 0.5`."""
        return f"ratio {self.ratio:.4g}"

    def at(self, parameter: float) -> "Ratio":
        """The rule at another ratio."""
        return Ratio(parameter)


class SmallestRanks(Ratio):
    """The smallest ranks that a rule may give, while there are no weights to ask it about.

    Args:
        rule: that is named in sentences.
    """

    def __init__(self, rule: Rule) -> None:
        super().__init__(0.0)
        self.rule = rule

    def why(self) -> str:
        """The rule's own words."""
        return self.rule.why()


class Energy(Rule):
    """The smallest ranks that keep `ratio` of the squared singular values.

    These are of the layer's outputs, where there are images to see its inputs on. Where a product
    has ranks of two modes, each mode keeps that ratio.

    Args:
        ratio: in (0, 1]; at a target's lower end also 0, which is rank 1.
    """

    setting = "energy"

    def __init__(self, ratio: float) -> None:
        self.ratio = ratio

    def rank(self, candidate: "Candidate", number: int, rounds: int) -> list[int]:
        """The smallest rank of each mode that keeps this round's part of the energy.

        Raises:
            CompressionError: the kernel holds a NaN or an infinity.
        """
        ratio = ratio_in_round(self.ratio, candidate, number, rounds)
        return [energy_rank(spectrum.values, ratio) for spectrum in candidate.spectra]

    def why(self) -> str:
        """The rule and its ratio of the energy, as `energy 0.9`."""
        return f"energy {self.ratio:.4g}"

    def at(self, parameter: float) -> "Energy":
        """The rule at another ratio."""
        return Energy(parameter)


class VBMF(Rule):
    """Goes from the full rank towards the one of EVBMF; a layer that is all noise is left alone.

    All the way down, trained layers end with ranks of two or three and lose what they knew;
    Gusak et al. 2019, "Automated Multi-Stage Compression of Neural Networks", section 3.2, stop on
    the way. Of several groups the one with the highest rank counts.

    Args:
        strength: how far to go, in (0, 1]; 1 is the rank of EVBMF itself.
    """

    setting = "vbmf"
    nothing = "nothing but noise to EVBMF"

    def __init__(self, strength: float) -> None:
        self.strength = strength

    def rank(self, candidate: "Candidate", number: int, rounds: int) -> list[int]:
        """The ranks of EVBMF, or a round's part of the way there; zeros where all is noise to it.

        Raises:
            CompressionError: the kernel holds a NaN or an infinity.
        """
        from compression.factorization.evbmf import evbmf_rank  # it loads scipy

        found = [
            max(evbmf_rank(row, spectrum.rows, spectrum.columns) for row in spectrum.values.numpy())
            for spectrum in candidate.weight_spectra  # the noise in it is white
        ]
        if not all(found):
            return [0] * len(found)
        pairs = list(zip(candidate.max_rank, found, strict=True))
        final = [full - int(self.strength * (full - signal)) for full, signal in pairs]
        return [
            rank_in_round(rank, full, number, rounds)
            for rank, (full, _) in zip(final, pairs, strict=True)
        ]

    def why(self) -> str:
        """The rule and how far it goes, as `EVBMF at 0.7`."""
        return f"EVBMF at {self.strength:.4g}"


class Sensitivity(Rule):
    """The smallest ranks, as ratios of the full ones, that lose no more than a bound.

    Of several rounds, each begins with a scan of its own and has its part of the bound.

    Args:
        bound: macro-F1 that a layer may lose alone.
        curves: what a scan has found; without it `with_sensitivity` comes first.
    """

    setting = "sensitivity"

    def __init__(self, bound: float, curves: "SensitivityCurves | None" = None) -> None:
        self.bound, self.curves = bound, curves

    def with_sensitivity(self, scan: "Callable[[], Scan]") -> "Sensitivity":
        """The rule with the curves of a scan of the network as it is now."""
        from compression.sensitivity import SensitivityCurves  # it loads torch

        return Sensitivity(self.bound, SensitivityCurves(scan()))

    def at(self, parameter: float) -> "Sensitivity":
        """The rule at the bound that belongs to a parameter in 0..1.

        Raises:
            CompressionError: there has been no scan.
        """
        return Sensitivity(self._known().bound_at(parameter), self.curves)

    def rank(self, candidate: "Candidate", number: int, rounds: int) -> list[int]:
        """The smallest ratio of the largest rank at which the layer alone stays within the bound.

        Raises:
            CompressionError: there has been no scan.
        """
        ratio = self._known().ratio(candidate.name, self.bound / rounds)
        return [max(1, round(ratio * full)) for full in candidate.max_rank]

    def why(self) -> str:
        """The rule and its bound, as `sensitivity (alone 0.01 of F1 at most)`."""
        return f"sensitivity (alone {self.bound:.4g} of F1 at most)"

    def _known(self) -> "SensitivityCurves":
        if self.curves is None:
            raise CompressionError("The rule sensitivity needs a scan first: with_sensitivity.")
        return self.curves


def energy_rank(values: "Tensor", ratio: float) -> int:
    """How many leading singular values hold `ratio` of the energy, at least 1.

    Args:
        values: G x n, largest first; the groups have one rank and one energy.
        ratio: in 0..1.
    """
    kept = values.square().sum(0).cumsum(0)
    missing = kept < ratio * kept[-1] * (1 - 1e-12)  # the sum's own error must not add a rank
    return min(1 + int(missing.count_nonzero()), len(kept))
