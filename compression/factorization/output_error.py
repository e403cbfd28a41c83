"""The rule that shares out among layers what a cheaper network loses of their outputs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from compression.errors import CompressionError
from compression.factorization.rank_rule import Rule

if TYPE_CHECKING:  # it loads torch
    from compression.factorization.candidate import Candidate


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
    knapsack; a target turns its budget. Without one it is the other way round: the least cost
    within a sum of what is lost.

    Args:
        ratio: of the output variance that is lost, the mean of the layers; of several rounds each
            loses its part.
        options: of each layer by name; without them `among` comes first.
        budget: of the cost of all; None: `ratio` decides.
    """

    setting = "error"
    nothing = "left whole"

    def __init__(
        self,
        ratio: float,
        options: dict[str, list[Option]] | None = None,
        budget: float | None = None,
    ) -> None:
        self.ratio, self.options, self.budget = ratio, options, budget
        self._chosen: dict[str, Option] = {}

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
        options = self._known()
        whole = sum(own[0].cost for own in options.values())
        least = sum(own[-1].cost for own in options.values())
        return OutputError(self.ratio, options, least + parameter * (whole - least))

    def rank(self, candidate: "Candidate", number: int, rounds: int) -> list[int]:
        """The rank of the option that the layer has at the optimum; zeros where it stays whole.

        Raises:
            CompressionError: the layers are not known yet.
        """
        options = self._known()
        if not self._chosen:
            self._chosen = self._solved(list(options.values()), rounds)
        return self._chosen[candidate.name].rank

    def why(self) -> str:
        """Always `least output error`."""
        return "least output error"

    def _solved(self, options: list[list[Option]], rounds: int) -> dict[str, Option]:
        from compression.allocation import solve_knapsack  # it loads numpy

        errors = [[option.error for option in own] for own in options]
        costs = [[float(option.cost) for option in own] for own in options]
        if self.budget is None:
            numbers = solve_knapsack(costs, errors, self.ratio / rounds * len(options))
        else:
            numbers = solve_knapsack(errors, costs, self.budget)
        chosen = [own[n] for own, n in zip(options, numbers, strict=True)]
        return dict(zip(self._known(), chosen, strict=True))

    def _known(self) -> dict[str, list[Option]]:
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
