"""The channels that groups of layers keep at the least sum of losses within a budget.

What a layer costs depends on its inputs and outputs, which are two groups', so that costs do not
add up. Kurtic et al. 2023, "ZipLM: Inference-Aware Structured Pruning of Language Models", section
3.2, share out a table of times; here it is searched from about the same ratio of all groups on.
"""

from collections.abc import Callable, Sequence

import torch

from compression.allocation import meet_goal
from compression.pruning.channel_budget import ChannelBudget, Counts
from compression.sensitivity import LossCurves
from compression.target import RoundTarget

# What a tensor of a name and a shape costs.
Price = Callable[[str, torch.Size], float]


class WidthCosts:
    """What the network costs in any sizes, and what it saves to change one group.

    Args:
        budget: has the groups.
        price: of each tensor that changes.
        others: what all else costs.
    """

    def __init__(self, budget: ChannelBudget, price: Price, others: float) -> None:
        self.budget, self.price, self.others = budget, price, others

    @classmethod
    def entered(cls, budget: ChannelBudget, price: Price, now: float) -> "WidthCosts":
        """Of a network that costs `now` as it is, of which the tensors explain a part."""
        costs = cls(budget, price, 0.0)
        costs.others = now - costs.whole(budget.whole())
        return costs

    def whole(self, counts: Counts) -> float:
        """Of the whole network."""
        return self.others + sum(
            self.price(name, self.budget.shape(name, counts)) for name in self.budget.tensors
        )

    def changes(self, counts: Counts, number: int, options: Sequence[int]) -> list[float]:
        """What each number of parts of one group adds, where all others stay as they are."""
        found = []
        for option in options:
            changed = {**counts, number: option}
            found.append(sum(self._change(name, counts, changed) for name in self._names(number)))
        return found

    def _names(self, number: int) -> list[str]:
        axes = self.budget.groups[number].axis_counts
        return list(dict.fromkeys(name for name, _ in axes))

    def _change(self, name: str, before: Counts, after: Counts) -> float:
        shapes = self.budget.shape(name, before), self.budget.shape(name, after)
        if shapes[0] == shapes[1]:
            return 0.0
        return self.price(name, shapes[1]) - self.price(name, shapes[0])


def optimal_counts(
    costs: WidthCosts, curves: LossCurves, goal: RoundTarget
) -> tuple[dict[int, int], str]:
    """The parts that each group keeps for a goal, and a report.

    Raises:
        UnreachableTargetError: even the smallest sizes cost more; says how far they go.
    """
    return meet_goal(count_losses(costs.budget, curves), costs, goal)


def count_losses(budget: ChannelBudget, curves: LossCurves) -> list[dict[int, float]]:
    """Of each group, what it loses by the number of parts that it keeps, all of them first."""
    found = []
    for name, group, allowed in zip(budget.names, budget.groups, budget.allowed, strict=True):
        own = {k: curves.loss(name, k / group.granularity) for k in reversed(allowed)}
        found.append({k: loss for k, loss in own.items() if loss < float("inf")})
    return found
