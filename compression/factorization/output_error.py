"""The rule that shares out among layers what a cheaper network loses of their outputs."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from compression.bisection import TOLERANCE, Solution
from compression.errors import CompressionError
from compression.factorization.rank_rule import Rule
from compression.target import RoundTarget

if TYPE_CHECKING:  # it loads torch
    from compression.factorization.candidate import Candidate
    from compression.factorization.layer_timer import LayerTimer


OPTIONS = 2500  # of all layers together: few layers need more of each to come near a target


class Option(NamedTuple):
    """What may become of a layer.

    Attributes:
        error: ratio of its outputs' variance that is lost.
        cost: in one pass of the network, MACs or parameters.
        rank: of the product; zeros leave the layer whole.
    """

    error: float
    cost: int
    rank: list[int]


class OutputError(Rule):
    """The ranks of all layers that lose the least of their outputs together, within one cost.

    What is added up is the ratio of each layer's output variance that is lost (of its squared
    weights, where there are no images), and each layer may stay whole. That is a multiple-choice
    knapsack, whose budget a target is. Without one it is the other way round: the least cost
    within a sum of what is lost.

    Args:
        ratio: of the output variance that is lost, the mean of the layers; of several rounds each
            loses its part.
        options: of each layer by name; without them `among` comes first.
        chosen: one of them each; None: `ratio` decides.
    """

    setting = "error"
    nothing = "left whole"

    def __init__(
        self,
        ratio: float,
        options: Mapping[str, Sequence[Option]] | None = None,
        chosen: Mapping[str, Option] | None = None,
    ) -> None:
        self.ratio, self.options, self.chosen = ratio, options, chosen

    def among(self, candidates: "Sequence[Candidate]", measure: str) -> "OutputError":
        """The rule that knows what each layer loses at which cost."""
        count = OPTIONS // max(len(candidates), 1)
        options = {layer.name: undominated(_options(layer, measure, count)) for layer in candidates}
        return OutputError(self.ratio, options)

    def at(self, parameter: float) -> "OutputError":
        """The rule at a budget between the least that the layers can cost, at 0, and what they do.

        Raises:
            CompressionError: the layers are not known yet.
        """
        whole, least = self._ends()
        return self._within(least + parameter * (whole - least))

    def meet(
        self,
        goal: RoundTarget,
        now: float,
        candidates: "Sequence[Candidate]",
        timer: "LayerTimer | None",
    ) -> "tuple[OutputError, str] | None":
        """The optimum within a goal; turned, where layers that do not measure faster drop out.

        Raises:
            UnreachableTargetError: the cheapest options of all layers cost more.
            CompressionError: the layers are not known yet.
        """
        whole, least = self._ends()
        cheapest, budget = now - whole + least, goal.cost - (now - whole)
        if timer is not None or least == whole:
            return None
        if cheapest > (1 + TOLERANCE) * goal.cost:
            raise goal.unreachable(cheapest, now)
        met = self._within(max(budget, least))
        assert met.chosen is not None
        cost = now - whole + sum(option.cost for option in met.chosen.values())
        near = goal.cost - cost <= TOLERANCE * goal.cost
        return met, goal.report(Solution(0.0, cost, near))

    def ranks_of(
        self, candidates: "Sequence[Candidate]", number: int, rounds: int
    ) -> dict[str, list[int]]:
        """Of the option that each layer has at the optimum; zeros where it stays whole.

        Raises:
            CompressionError: the layers are not known yet.
        """
        chosen = self.chosen
        if chosen is None:
            errors, costs = self._table()
            chosen = self._solved(costs, errors, self.ratio / rounds * len(errors))
        return {candidate.name: chosen[candidate.name].rank for candidate in candidates}

    def rank(self, candidate: "Candidate", number: int, rounds: int) -> list[int]:
        """That of one layer, see `ranks_of`."""
        return self.ranks_of([candidate], number, rounds)[candidate.name]

    def why(self) -> str:
        """Always `least output error`."""
        return "least output error"

    def _within(self, budget: float) -> "OutputError":
        return OutputError(self.ratio, self.options, self._solved(*self._table(), budget))

    def _table(self) -> tuple[list[list[float]], list[list[float]]]:
        """Errors and costs, by layer, of its options."""
        options = self._known().values()
        errors = [[option.error for option in own] for own in options]
        return errors, [[float(option.cost) for option in own] for own in options]

    def _solved(
        self, losses: list[list[float]], costs: list[list[float]], budget: float
    ) -> dict[str, Option]:
        from compression.allocation import solve_knapsack  # it loads numpy

        numbers = solve_knapsack(losses, costs, budget)
        pairs = zip(self._known().items(), numbers, strict=True)
        return {name: own[number] for (name, own), number in pairs}

    def _ends(self) -> tuple[int, int]:
        """What all layers cost together, and the least that they can."""
        options = self._known().values()
        return sum(own[0].cost for own in options), sum(own[-1].cost for own in options)

    def _known(self) -> Mapping[str, Sequence[Option]]:
        if self.options is None:
            raise CompressionError("The rule error needs the layers first: among.")
        return self.options


def undominated(options: list[Option]) -> list[Option]:
    """Those that no other one beats in both; ever cheaper, the whole layer first."""
    found: list[Option] = []
    for option in sorted(options, key=lambda option: (option.error, option.cost)):
        if not found or option.cost < found[-1].cost:
            found.append(option)
    return found


def _options(candidate: "Candidate", measure: str, count: int) -> list[Option]:
    """The whole layer, and each rank at which it is cheaper."""
    whole = Option(0.0, candidate.cost[measure], [0] * len(candidate.max_rank))
    found = [
        Option(error, candidate.cost_at(rank)[measure], rank)
        for rank, error in candidate.output_errors(count)
    ]
    return [whole, *found]
