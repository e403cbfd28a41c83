"""What a network costs whose layers are narrower, factorised, or both."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from compression.cost import saved_bytes
from compression.cost.geometry import factors_of, layer_macs
from compression.factorization.candidate import Candidate
from compression.pruning.channel_budget import ChannelBudget

Rank = tuple[int, ...]  # of a product; empty: the layer stays one


class HybridCosts:
    """Costs by the choice of every decision: first of all groups of channels, then of layers.

    Args:
        budget: has the groups; the choice of one is the number of its parts.
        candidates: layers that may be factorised; the choice of one is its rank.
        price: what a tensor costs in a shape.
        product_price: what the product of a layer costs, instead of the weight in a shape.
        now: what the network costs as it is.
    """

    def __init__(
        self,
        budget: ChannelBudget,
        candidates: Sequence[Candidate],
        price: Callable[[str, torch.Size], float],
        product_price: Callable[[Candidate, Rank, torch.Size], float],
        now: float,
    ) -> None:
        self.budget, self.price, self.product_price = budget, price, product_price
        self.candidates = {f"{candidate.name}.weight": candidate for candidate in candidates}
        self.tensors = sorted(budget.tensors | self.candidates.keys())
        self._numbers = {name: len(budget.groups) + n for n, name in enumerate(self.candidates)}
        self._known: dict[tuple[str, torch.Size, Rank], float] = {}
        whole = {**budget.whole(), **dict.fromkeys(self._numbers.values(), ())}
        self.others = now - sum(self._cost(name, whole) for name in self.tensors)

    def whole(self, choice: Mapping[int, Any]) -> float:
        """Of the whole network."""
        return self.others + sum(self._cost(name, choice) for name in self.tensors)

    def changes(
        self, choice: Mapping[int, Any], number: int, options: Sequence[Any]
    ) -> list[float]:
        """What each option of one decision adds, where all others stay as they are."""
        groups = self.budget.groups
        if number < len(groups):
            names = list(dict.fromkeys(name for name, _ in groups[number].axis_counts))
        else:
            names = [list(self._numbers)[number - len(groups)]]
        before = sum(self._cost(name, choice) for name in names)
        return [
            sum(self._cost(name, {**choice, number: option}) for name in names) - before
            for option in options
        ]

    def _cost(self, name: str, choice: Mapping[int, Any]) -> float:
        if name in self.budget.tensors:
            shape = self.budget.shape(name, choice)
        else:
            shape = self._weight(self.candidates[name]).shape
        rank = choice[self._numbers[name]] if name in self._numbers else ()
        key = name, shape, rank
        if key not in self._known:
            plain = self.price(name, shape)
            product = self.product_price(self.candidates[name], rank, shape) if rank else plain
            self._known[key] = min(plain, product)
        return self._known[key]

    @staticmethod
    def _weight(candidate: Candidate) -> torch.Tensor:
        return factors_of(candidate.layer)[0].weight


def product_cost(candidate: Candidate, rank: Rank, shape: torch.Size, measure: str) -> int:
    """MACs in one pass, parameters or bytes without a bias, of the product of a narrower layer.

    Args:
        candidate: the layer.
        rank: wanted; no mode has more than the narrower layer has.
        shape: of the narrower layer's weight.
        measure: `macs`, `params` or `file_bytes`.
    """
    whole, decomposition = candidate.geometry, candidate.decomposition
    inputs = shape[1] * whole.groups
    geometry = replace(whole, outputs=shape[0], inputs=inputs, bias=False)
    full = decomposition.full_ranks(geometry)
    fitting = [min(pair) for pair in zip(rank, full, strict=True)]
    product = decomposition.structure(geometry, decomposition.useful(fitting, geometry))
    if measure != "macs":
        weights = [factor.weight for factor in factors_of(product)]
        return sum(w.numel() if measure == "params" else saved_bytes(w) for w in weights)
    axis = -1 if whole.linear else 1
    calls = [list(call) for call in candidate.calls]
    for call in calls:
        call[axis] = inputs
    return sum(layer_macs(product, call) for call in calls)
