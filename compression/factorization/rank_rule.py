"""The contract of a rule for ranks, and the rules by name; free of torch, for checks."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Self

from compression.errors import CompressionError
from compression.registry import Registry
from compression.target import RoundTarget, round_ratio

if TYPE_CHECKING:  # they load torch
    from compression.factorization.candidate import Candidate
    from compression.factorization.layer_timer import LayerTimer
    from compression.sensitivity import LossPoint, Scan

RANK_RULES = Registry(
    kind="rank rule",
    group="model_diet.rank_rules",
    paths={
        "ratio": "compression.factorization.rank_rules:Ratio",
        "energy": "compression.factorization.rank_rules:Energy",
        "error": "compression.factorization.output_error:OutputError",
        "vbmf": "compression.factorization.rank_rules:VBMF",
        "optimal": "compression.factorization.optimal_ranks:OptimalRanks",
        "sensitivity": "compression.factorization.rank_rules:Sensitivity",
    },
    methods=("rank",),
)
TARGET = "target"  # another word for the rule that a target turns best


class Rule:
    """Chooses the rank of a layer; to be written is `rank`, all else has a default.

    Attributes:
        setting: of the step, whose value is the one argument of a rule that is chosen by its name;
            None: there is no argument.
        nothing: why a layer has rank 0.
        named: whether a user has named these very ranks.
        by_size: whether sizes alone decide, whatever the weights are.
        needs_target: whether it chooses nothing without a target.
    """

    setting: ClassVar[str | None] = None
    nothing: ClassVar[str] = "left out"
    named: ClassVar[bool] = False
    by_size: ClassVar[bool] = False
    needs_target: ClassVar[bool] = False

    def rank(self, candidate: "Candidate", number: int, rounds: int) -> list[int]:
        """The rank to go to in round `number` (from 0) of `rounds`; 0 leaves the layer alone.

        One rank for each of `candidate.max_rank`. Below `candidate.min_rank` it is raised to that,
        unless the ranks are `named`.
        """
        raise NotImplementedError

    def ranks_of(
        self, candidates: "Sequence[Candidate]", number: int, rounds: int
    ) -> dict[str, list[int]]:
        """The rank of each layer by name; by default each is chosen by itself."""
        return {candidate.name: self.rank(candidate, number, rounds) for candidate in candidates}

    def why(self) -> str:
        """The rule in two words, as `energy 0.9`; the name of its class by default."""
        return type(self).__name__

    def at(self, parameter: float) -> Self:
        """The rule at a setting of its number in 0..1 that a target turns; at 1 it changes least.

        Raises:
            CompressionError: no target can turn this rule.
        """
        raise CompressionError(f"No target can turn the rule {self.why()}.")

    def why_of(self, layer: str) -> str:
        """Why a layer has its rank; by default the rule in two words."""
        return self.why()

    def nothing_of(self, layer: str) -> str:
        """Why a layer has rank 0."""
        return self.nothing

    def meet(
        self,
        goal: RoundTarget,
        now: float,
        candidates: "Sequence[Candidate]",
        timer: "LayerTimer | None",
    ) -> "tuple[Rule, str] | None":
        """The rule that meets a goal, and a report; None, as here: by turning its number.

        Args:
            goal: of macs, params or, by the times of layers added up, latency in milliseconds.
            now: that cost of the whole network.
            candidates: the layers that can be factorised.
            timer: leaves those alone that do not measure faster.
        """
        return None

    @classmethod
    def has_number(cls) -> bool:
        """Whether a target can turn it: whether it has an `at` of its own."""
        return cls.at is not Rule.at

    def among(self, candidates: "Sequence[Candidate]", measure: str) -> Self:
        """The rule that knows all layers before it chooses or is turned, if it asks for them.

        Args:
            candidates: the layers that can be factorised.
            measure: of their cost, `macs`, `params` or `file_bytes`.
        """
        return self

    def check(self, candidates: "Sequence[Candidate]") -> None:
        """Refuse settings that do not fit the layers, before any rank is chosen.

        Raises:
            CompressionError: says what does not fit.
        """

    def with_sensitivity(self, scan: "Callable[[], Scan]") -> Self:
        """The rule that knows the network's sensitivity, if it asks for it; `scan` takes long."""
        return self

    def with_losses(self, scan: "Callable[[], Sequence[LossPoint]]") -> Self:
        """The rule that knows what layers lose alone, if it asks for it; `scan` takes long."""
        return self


def ratio_in_round(ratio: float, candidate: "Candidate", number: int, rounds: int) -> float:
    """What is left of a layer in this round, as a ratio of what it has now."""
    wanted = round_ratio(ratio, number, rounds)
    if not candidate.not_factorized:  # earlier rounds have gone part of the way
        wanted /= round_ratio(ratio, number - 1, rounds)
    return wanted


def rank_in_round(final: int, full: int, number: int, rounds: int) -> int:
    """The rank to go to in this round, so that equal steps end at `final`."""
    return full - (full - final) // (rounds - number)
