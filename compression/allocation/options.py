"""What may be done with each layer, and what is chosen for a target."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compression.allocation.knapsack import solve_knapsack
from compression.bisection import UnreachableTargetError
from compression.target import RoundTarget


@dataclass(frozen=True, kw_only=True)
class Option:
    """One way to treat a layer.

    Attributes:
        loss: in nats, see `sensitivity.loss_scan`.
        cost: of the layer, in the unit of the target.
        treatment: what it is, for the step; None leaves the layer as it is.
    """

    loss: float
    cost: float
    treatment: Any = None


def choose_options(
    options: Mapping[str, Sequence[Option]], goal: RoundTarget, now: float
) -> tuple[dict[str, Option], str]:
    """The option of each layer with which the losses sum up to the least, and a report.

    Args:
        options: by layer; the first of each leaves it as it is.
        goal: cost of the whole network to stay within.
        now: cost of the whole network as it is.

    Raises:
        UnreachableTargetError: even the cheapest options are too dear; says how far they go.
    """
    others = now - sum(own[0].cost for own in options.values())
    losses = [[option.loss for option in own] for own in options.values()]
    costs = [[option.cost for option in own] for own in options.values()]
    try:
        found = solve_knapsack(losses, costs, goal.cost - others)
    except UnreachableTargetError as error:
        raise goal.unreachable(error.minimum + others, now) from None
    chosen = {name: own[n] for (name, own), n in zip(options.items(), found, strict=True)}
    cost = others + sum(option.cost for option in chosen.values())
    return chosen, goal.report_optimum(cost, sum(option.loss for option in chosen.values()))
