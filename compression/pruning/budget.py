"""Sharing a budget out among the groups: uniformly, by one threshold for all channels, or by what
each group loses alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from compression.pruning.channel_groups import Channels
from compression.pruning.sizing import Sizing
from compression.sensitivity.loss_bound import LossBounds
from compression.target import TOLERANCE, Aim, Solution

Shares = Callable[[float], list[float]]  # of each group, at a setting of the knob in 0..1


def uniform_shares(sizing: Sizing) -> Shares:
    """Every group keeps the same share."""
    return lambda knob: [knob] * len(sizing.groups)


def sensitivity_shares(sizing: Sizing, bounds: LossBounds) -> Shares:
    """Every group keeps what it needs to lose, alone, no more F1 than one bound."""

    def shares(knob: float) -> list[float]:
        bound = bounds.bound_at(knob)
        return [bounds.share(name, bound) for name in sizing.names]

    return shares


def global_shares(
    sizing: Sizing, channels: Channels, scores: np.ndarray, *, normalise: bool
) -> Shares:
    """Every channel above one threshold stays, wherever it is.

    Args:
        sizing: has the groups.
        channels: of the network.
        scores: by number of the channel.
        normalise: divide by the group's mean first, for scores whose scale differs by layer.
    """
    of_group = []
    for group in sizing.groups:
        numbers = [c for s in group.signatures for c in channels.members[s, False]]
        own = scores[numbers]
        of_group.append(own / max(own.mean(), 1e-30) if normalise else own)
    everything = np.sort(np.concatenate(of_group))[::-1]

    def shares(knob: float) -> list[float]:
        kept = round(knob * len(everything))
        if kept == 0:
            return [0.0] * len(of_group)
        threshold = everything[kept - 1]
        return [float((own >= threshold).mean()) for own in of_group]

    return shares


def meet_target(
    sizing: Sizing,
    shares: Shares,
    aim: Aim,
) -> tuple[dict[int, int], Solution]:
    """The steps that each group keeps, and what the network costs then.

    Where the bisection ends below the goal, single groups get a step back, those that were
    rounded down most first.

    Raises:
        OutOfReach: even the smallest sizes cost more.
    """

    def steps_at(knob: float) -> dict[int, int]:
        return {n: sizing.nearest(n, share) for n, share in enumerate(shares(knob))}

    def cost(steps: Mapping[int, int]) -> int:
        return sizing.cost(steps, aim.target.measure)

    solution = aim.solve(lambda k: cost(steps_at(k)))
    steps, wanted = steps_at(solution.knob), shares(solution.knob)
    goal = aim.goal
    lack = {n: wanted[n] - steps[n] / g.steps for n, g in enumerate(sizing.groups)}
    order, moved = sorted(lack, key=lack.get, reverse=True), True
    while moved and not solution.reached and solution.cost < goal:
        moved = False
        for n in order:
            above = [k for k in sizing.allowed[n] if k > steps[n]]
            if above and cost({**steps, n: above[0]}) <= goal * (1 + TOLERANCE):
                steps, moved = {**steps, n: above[0]}, True
                reached = abs(cost(steps) - goal) <= TOLERANCE * goal
                solution = replace(solution, cost=cost(steps), reached=reached)
            if solution.reached:
                break
    return steps, solution
