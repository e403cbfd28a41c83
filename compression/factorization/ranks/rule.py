"""The contract of a rule that chooses ranks."""

from collections.abc import Callable, Sequence
from typing import Self

from compression.factorization.candidate import Candidate
from compression.sensitivity.scan import Scan
from compression.target import round_target


class Rule:
    """Chooses the rank of a layer."""

    nothing = "left out"  # why a layer has rank 0
    named = False  # whether a user has named these very ranks

    def check(self, candidates: Sequence[Candidate]) -> None:
        """Refuse settings that do not fit the layers, before any rank is chosen.

        Raises:
            CompressionError: says what does not fit.
        """

    def informed(self, scan: Callable[[], Scan]) -> Self:
        """The rule that knows the network's sensitivity, if it asks for it; `scan` takes long."""
        return self

    def at(self, knob: float) -> Self:
        """The rule at a setting of its number in 0..1 that a target turns; at 1 it changes least.

        Only of the rules in `settings.SOLVABLE`.
        """
        return type(self)(knob)

    def rank(self, candidate: Candidate, number: int, rounds: int) -> list[int]:
        """The rank to go to in round `number` (from 0) of `rounds`; 0 leaves the layer alone.

        Below `candidate.least` it is raised to that, unless the ranks are `named`.
        """
        raise NotImplementedError

    def why(self) -> str:
        """The rule in two words, as `energy 0.9`."""
        raise NotImplementedError


def share_in_round(share: float, candidate: Candidate, number: int, rounds: int) -> float:
    """What is left of a layer in this round, as a share of what it has now."""
    wanted = round_target(share, number, rounds)
    if not candidate.fresh:  # earlier rounds have gone part of the way
        wanted /= round_target(share, number - 1, rounds)
    return wanted


def rank_in_round(final: int, full: int, number: int, rounds: int) -> int:
    """The rank to go to in this round, so that equal steps end at `final`."""
    return full - (full - final) // (rounds - number)
