"""How ranks are chosen: the contract of a rule, and the rules."""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Self

import torch
from torch import Tensor

from compression.errors import CompressionError
from compression.factorization.candidate import Candidate
from compression.factorization.evbmf import evbmf_rank
from compression.factorization.settings import RULES, rank_rule, read_ranks
from compression.sensitivity import Scan, SensitivityCurves
from compression.step import match_layers
from compression.target import round_ratio


class Rule:
    """Chooses the rank of a layer."""

    nothing = "left out"  # why a layer has rank 0
    named = False  # whether a user has named these very ranks

    def check(self, candidates: Sequence[Candidate]) -> None:
        """Refuse settings that do not fit the layers, before any rank is chosen.

        Raises:
            CompressionError: says what does not fit.
        """

    def with_sensitivity(self, scan: Callable[[], Scan]) -> Self:
        """The rule that knows the network's sensitivity, if it asks for it; `scan` takes long."""
        return self

    def at(self, parameter: float) -> Self:
        """The rule at a setting of its number in 0..1 that a target turns; at 1 it changes least.

        Only of the rules in `settings.SOLVABLE`.
        """
        rule: Callable[[float], Self] = type(self)
        return rule(parameter)

    def rank(self, candidate: Candidate, number: int, rounds: int) -> list[int]:
        """The rank to go to in round `number` (from 0) of `rounds`; 0 leaves the layer alone.

        Below `candidate.min_rank` it is raised to that, unless the ranks are `named`.
        """
        raise NotImplementedError

    def why(self) -> str:
        """The rule in two words, as `energy 0.9`."""
        raise NotImplementedError


class Ratio(Rule):
    """The same ratio of every layer's channels, or of the rank it has.

    Args:
        ratio: in (0, 1]; at a target's lower end also 0, which is rank 1.
    """

    def __init__(self, ratio: float) -> None:
        self.ratio = ratio

    def rank(self, candidate: Candidate, number: int, rounds: int) -> list[int]:
        """That ratio of the largest rank of each mode, rounded; at least 1."""
        ratio = ratio_in_round(self.ratio, candidate, number, rounds)
        return [max(1, round(ratio * full)) for full in candidate.max_rank]

    def why(self) -> str:
        """The rule and its ratio, as `ratio 0.5`."""
        return f"ratio {self.ratio:.4g}"


class Energy(Rule):
    """The smallest ranks that keep `ratio` of the squared singular values.

    Where a product has ranks of two modes, each mode keeps that ratio.

    Args:
        ratio: in (0, 1]; at a target's lower end also 0, which is rank 1.
    """

    def __init__(self, ratio: float) -> None:
        self.ratio = ratio

    def rank(self, candidate: Candidate, number: int, rounds: int) -> list[int]:
        """The smallest rank of each mode that keeps this round's part of the energy.

        Raises:
            CompressionError: the kernel holds a NaN or an infinity.
        """
        ratio = ratio_in_round(self.ratio, candidate, number, rounds)
        return [energy_rank(spectrum.values, ratio) for spectrum in candidate.spectra]

    def why(self) -> str:
        """The rule and its ratio of the energy, as `energy 0.9`."""
        return f"energy {self.ratio:.4g}"


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
        """The ranks of EVBMF, or a round's part of the way there; zeros where all is noise to it.

        Raises:
            CompressionError: the kernel holds a NaN or an infinity.
        """
        found = [
            max(evbmf_rank(row, spectrum.rows, spectrum.columns) for row in spectrum.values.numpy())
            for spectrum in candidate.spectra
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

    def __init__(self, bound: float, curves: SensitivityCurves | None = None) -> None:
        self.bound, self.curves = bound, curves

    def with_sensitivity(self, scan: Callable[[], Scan]) -> "Sensitivity":
        """The rule with the curves of a scan of the network as it is now."""
        return Sensitivity(self.bound, SensitivityCurves(scan()))

    def at(self, parameter: float) -> "Sensitivity":
        """The rule at the bound that belongs to a parameter in 0..1.

        Raises:
            CompressionError: there has been no scan.
        """
        return Sensitivity(self._known().bound_at(parameter), self.curves)

    def rank(self, candidate: Candidate, number: int, rounds: int) -> list[int]:
        """The smallest ratio of the largest rank at which the layer alone stays within the bound.

        Raises:
            CompressionError: there has been no scan.
        """
        ratio = self._known().ratio(candidate.name, self.bound / rounds)
        return [max(1, round(ratio * full)) for full in candidate.max_rank]

    def why(self) -> str:
        """The rule and its bound, as `sensitivity (alone 0.01 of F1 at most)`."""
        return f"sensitivity (alone {self.bound:.4g} of F1 at most)"

    def _known(self) -> SensitivityCurves:
        if self.curves is None:
            raise CompressionError("The rule sensitivity needs a scan first: with_sensitivity.")
        return self.curves


class FixedRanks(Rule):
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
        """Refuse a pattern that matches no layer, and ranks that do not fit the layer.

        Raises:
            CompressionError: names the pattern or the layer.
        """
        match_layers([candidate.name for candidate in candidates], self.ranks, [])
        for candidate in candidates:
            self._asked(candidate)

    def rank(self, candidate: Candidate, number: int, rounds: int) -> list[int]:
        """The ranks given, or a round's part of the way there; zeros where 0 was given, or none.

        Raises:
            CompressionError: the ranks are too many or too few, or larger than the layer's own.
        """
        asked = self._asked(candidate)
        if not all(asked):
            return [0] * len(asked)
        pairs = zip(asked, candidate.max_rank, strict=True)
        return [rank_in_round(final, full, number, rounds) for final, full in pairs]

    def why(self) -> str:
        """Always `the ranks given`: the user knows them."""
        return "the ranks given"

    def _asked(self, candidate: Candidate) -> list[int]:
        matching = [p for p in self.ranks if fnmatchcase(candidate.name, p)]
        asked = self.ranks[matching[-1]] if matching else 0
        full = candidate.max_rank
        ranks = [asked] * len(full) if isinstance(asked, int) else list(asked)
        if len(ranks) != len(full):
            raise CompressionError(
                f"{self.step}.ranks gives {candidate.name} the ranks {ranks}, but a {self.step} "
                f"product has {len(full)}."
            )
        if any(rank > limit for rank, limit in zip(ranks, full, strict=True)):
            limit = full[0] if len(full) == 1 else full
            raise CompressionError(
                f"{self.step}.ranks gives {candidate.name} the rank {asked}, which is larger than "
                f"the layer's own, {limit}."
            )
        return ranks


BY_NAME = dict(zip(RULES, (Ratio, Energy, VBMF, Sensitivity), strict=True))


def make_rule(
    ranks: str | Mapping[str, Any] | Rule | None,
    *,
    solves: bool,
    step: str,
    **strengths: float,
) -> Rule:
    """The rule that settings ask for; they have been checked before.

    Args:
        ranks: see `Factorization`.
        solves: whether a target is to be solved for.
        step: name of the step, for errors.
        strengths: the number for each rule that has one, by its name.
    """
    if isinstance(ranks, Rule):
        return ranks
    name = rank_rule(ranks, solves=solves)
    if name in BY_NAME:
        return BY_NAME[name](strengths[name])
    return FixedRanks(read_ranks(ranks, f"{step}.ranks"), step)


def ratio_in_round(ratio: float, candidate: Candidate, number: int, rounds: int) -> float:
    """What is left of a layer in this round, as a ratio of what it has now."""
    wanted = round_ratio(ratio, number, rounds)
    if not candidate.not_factorized:  # earlier rounds have gone part of the way
        wanted /= round_ratio(ratio, number - 1, rounds)
    return wanted


def rank_in_round(final: int, full: int, number: int, rounds: int) -> int:
    """The rank to go to in this round, so that equal steps end at `final`."""
    return full - (full - final) // (rounds - number)


def energy_rank(values: Tensor, ratio: float) -> int:
    """How many leading singular values hold `ratio` of the energy, at least 1.

    Args:
        values: G x n, largest first; the groups have one rank and one energy.
        ratio: in 0..1.
    """
    kept = values.square().sum(0).cumsum(0)
    missing = kept < ratio * kept[-1] * (1 - 1e-12)  # the sum's own error must not add a rank
    return min(1 + int(torch.count_nonzero(missing)), len(kept))
