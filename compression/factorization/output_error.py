"""The rule that shares out among layers what a cheaper network loses of their outputs."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from compression.errors import CompressionError
from compression.factorization.rank_rule import Rule

if TYPE_CHECKING:  # it loads torch
    from compression.factorization.candidate import Candidate

FREE, DEAREST = 1e-9, 1e9  # prices of a whole layer and of a MAC that all or no layer is worth
HALVINGS = 40  # of the logarithm of a price, after which two prices choose the same


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
    """The ranks of all layers that cost the least together, at one sum of what is lost by them.

    What is added up is the ratio of each layer's output variance that is lost (of its squared
    weights, where there are no images), and each layer may stay whole. At the optimum every layer
    gives up as much of it for a unit of cost (Everett 1963, "Generalized Lagrange Multiplier
    Method"); a target turns that price.

    Args:
        ratio: of the output variance that is lost, the mean of the layers; of several rounds each
            loses its part.
        options: of each layer by name; without them `among` comes first.
        price: of a unit of cost; None: `ratio` decides.
    """

    setting = "error"
    nothing = "left whole"

    def __init__(
        self,
        ratio: float,
        options: dict[str, list[Option]] | None = None,
        price: float | None = None,
    ) -> None:
        self.ratio, self.options, self.price = ratio, options, price

    def among(self, candidates: "Sequence[Candidate]", measure: str) -> "OutputError":
        """The rule that knows what each layer loses at which cost."""
        return OutputError(
            self.ratio, {layer.name: _options(layer, measure) for layer in candidates}
        )

    def at(self, parameter: float) -> "OutputError":
        """The rule at the lowest price at which layers cost no more than a ratio of what they can.

        Raises:
            CompressionError: the layers are not known yet.
        """
        options = self._known()
        whole = sum(own[0].cost for own in options.values())
        least = sum(min(option.cost for option in own) for own in options.values())
        budget = least + parameter * (whole - least)
        _, price = self._boundary(lambda chosen: sum(own.cost for own in chosen) > budget)
        return OutputError(self.ratio, options, price)

    def rank(self, candidate: "Candidate", number: int, rounds: int) -> list[int]:
        """The rank of the option that is worth its price; zeros where that is the whole layer.

        Raises:
            CompressionError: the layers are not known yet.
        """
        if self.price is None:
            most = self.ratio / rounds * len(self._known())
            self.price, _ = self._boundary(lambda chosen: sum(own.error for own in chosen) <= most)
        return _chosen(self._known()[candidate.name], self.price).rank

    def why(self) -> str:
        """Always `least output error`."""
        return "least output error"

    def _boundary(self, holds: Callable[[list[Option]], bool]) -> tuple[float, float]:
        """Two prices, all but equal: the highest at which something holds, and the next one."""
        known = self._known().values()
        low, high = 0.0, FREE / max([1, *(own[0].cost for own in known)])

        def holds_at(price: float) -> bool:
            return holds([_chosen(own, price) for own in known])

        while high < DEAREST and holds_at(high):
            low, high = high, 4 * high
        for _ in range(HALVINGS if low else 0):
            price = (low * high) ** 0.5
            low, high = (price, high) if holds_at(price) else (low, price)
        return low, high

    def _known(self) -> dict[str, list[Option]]:
        if self.options is None:
            raise CompressionError("The rule error needs the layers first: among.")
        return self.options


def _chosen(options: list[Option], price: float) -> Option:
    return min(options, key=lambda option: option.error + price * option.cost)


def _options(candidate: "Candidate", measure: str) -> list[Option]:
    """The whole layer, and each rank at which it is cheaper."""
    whole = Option(0.0, candidate.cost[measure], [0] * len(candidate.max_rank))
    found = [
        Option(error, candidate.cost_at(rank)[measure], rank)
        for rank, error in candidate.output_errors
    ]
    return [whole, *found]
