"""The multiple-choice knapsack: one option of each layer, at the least loss within a budget.

Solved by dynamic programming over a cost in whole units, as Frantar & Alistarh 2022, "SPDY:
Accurate Pruning with Speedup Guarantees", section 3.2, and Shen et al. 2022, "Structural Pruning
via Latency-Saliency Knapsack", section 3.3, do with time.
"""

from collections.abc import Sequence

import numpy as np

from compression.bisection import UnreachableTargetError

ROUNDING = 1e-9  # of a budget, by which a sum of costs may be above it: a ratio is no exact number
UNITS = 20_000  # into which the cost that is to be shared out is divided


def solve_knapsack(
    losses: Sequence[Sequence[float]],
    costs: Sequence[Sequence[float]],
    budget: float,
    *,
    units: int = UNITS,
) -> list[int]:
    """The option of each layer whose sum of losses is least while the costs stay within the budget.

    Costs are rounded up to a unit, so that the budget always holds; where they are whole numbers
    and the units suffice, nothing is rounded and no choice is better. Of choices as good as each
    other it is one whose options come first.

    Args:
        losses: by layer, of its options; may be negative.
        costs: the same, in any unit.
        budget: of all costs together.
        units: the more, the finer and the slower: layers x options x units additions.

    Raises:
        UnreachableTargetError: the cheapest options cost more together.
    """
    cheapest = [min(own) for own in costs]
    spare = budget - sum(cheapest)
    if spare < -ROUNDING * abs(budget):
        dearest = sum(max(own) for own in costs)
        sentence = f"A budget of {budget:,.6g} is less than the cheapest options cost together."
        raise UnreachableTargetError(sentence, sum(cheapest), dearest)
    above = [
        np.asarray(own, dtype=float) - least for own, least in zip(costs, cheapest, strict=True)
    ]
    spare = max(spare, 0.0)
    unit = _unit(above, spare, units)
    size = int(spare / unit + 1e-9)
    best = np.zeros(size + 1)  # the least loss of the layers so far, by what they may cost
    chosen = []
    for own, weights in zip(losses, above, strict=True):
        steps = np.ceil(np.minimum(weights / unit, size + 1) - 1e-9).astype(int)
        table = np.full((len(steps), size + 1), np.inf)
        for row, (loss, step) in enumerate(zip(own, steps, strict=True)):
            if step <= size:
                table[row, step:] = best[: size + 1 - step] + loss
        chosen.append((table.argmin(0), steps))
        best = table.min(0)
    left, options = size, []
    for choice, steps in reversed(chosen):
        option = int(choice[left])
        options.append(option)
        left -= int(steps[option])
    return options[::-1]


def _unit(above: list[np.ndarray], spare: float, units: int) -> float:
    """1 where all costs are whole numbers and few, else what makes so many units of the spare."""
    whole = all((costs == costs.round()).all() for costs in above)
    return 1.0 if whole and spare <= units else spare / units or 1.0
