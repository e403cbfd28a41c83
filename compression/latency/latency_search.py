"""The search for the network of a wanted latency: each measurement guides the next.

MACs are the parameter: a step knows by arithmetic how to reach a ratio of them, and latency grows
with them, if not in proportion. So a few networks are measured, with ever better guesses between
them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from torch import nn

from compression.bisection import UnreachableTargetError
from compression.latency.relative_latency import Structure, structure_of
from compression.step import Plan

T = TypeVar("T")

TOLERANCE = 0.1  # a latency this near to the goal, relative to the goal, meets it
NEAR = 0.05  # the search goes on until it is this near, for a measurement is noisy
MEASUREMENTS = 6  # of whole networks: each is exported first, which takes seconds
GUESSES = 14  # several may lead to the same network
FINEST = 0.004  # guesses this near to each other count as the same
OUTWARD = 0.25  # of the fewest MACs so far: no guess without a bracket goes below it
INWARD = 0.15  # how far a guess stays inside its bracket, as a ratio of it


@dataclass(frozen=True)
class Point:
    """One candidate: at a ratio of the MACs, and what it measures as a ratio of the latency."""

    macs: float
    latency: float
    plan: Plan = field(default_factory=dict)
    lowest: bool = False  # whether the step can go no further


def search(
    candidate_at: Callable[[float], tuple[Plan, nn.Module]],
    latency_of: Callable[[nn.Module], float],
    goal: float,
    *,
    start: float = 1.0,
) -> Point:
    """The candidate whose latency is nearest to `goal`, else the nearest one below it.

    Ends after `GUESSES` guesses and `MEASUREMENTS` measured networks, or one more for the fastest;
    however the measurements come out.

    Args:
        candidate_at: the plan and the network for a ratio of the MACs;
            `UnreachableTargetError` where the step cannot go so far.
        latency_of: a network's latency, a ratio of the one that entered the step.
        goal: the latency wanted, such a ratio too.
        start: latency at all of the MACs.

    Raises:
        UnreachableTargetError: even the smallest network takes longer.
    """
    known: dict[Structure, float] = {}

    def at(ratio: float) -> Point:
        (plan, network), found = plan_at_least(ratio, candidate_at)
        structure = structure_of(network)
        if structure not in known:
            known[structure] = latency_of(network)
        return Point(found, known[structure], plan, lowest=found > ratio)

    if start <= goal * (1 + NEAR):  # an earlier round went further than it had to
        return Point(1.0, start, candidate_at(1.0)[0])
    above, below = Point(1.0, start), None
    found: list[Point] = []
    while len(known) < MEASUREMENTS and len(found) < GUESSES:
        found.append(at(_guess(above, below, goal, start, len(found))))
        slower = found[-1].latency > goal
        if is_met(found[-1].latency, goal, NEAR) or (slower and found[-1].lowest):
            break
        above, below = (found[-1], below) if slower else (above, found[-1])
        if below is not None and above.macs - below.macs < FINEST:
            break
    if all(_slow(point, goal) for point in found) and not any(point.lowest for point in found):
        found.append(at(0.0))
    return _best(found, goal, start)


def plan_at_least(ratio: float, plan_at: Callable[[float], T]) -> tuple[T, float]:
    """What a step plans at a ratio of the MACs, or at the lowest one above it that it can reach.

    The lowest one that a step names may be refused itself, as a network need not work in its
    smallest sizes; then it lies between that and the first one that is not.
    """
    refused: list[float] = []
    allowed = ratio
    while True:
        try:
            found = plan_at(allowed)
            break
        except UnreachableTargetError as error:
            if error.minimum <= allowed or len(refused) > GUESSES:
                raise
            refused.append(allowed)
            allowed = error.minimum
    low = refused[-1] if len(refused) > 1 else allowed
    while allowed - low > NEAR * allowed:
        middle = (low + allowed) / 2
        try:
            found, allowed = plan_at(middle), middle
        except UnreachableTargetError:
            low = middle
    return found, allowed


def _guess(above: Point, below: Point | None, goal: float, start: float, number: int) -> float:
    """The ratio of the MACs to try next."""
    if below is not None:
        inner = (goal - below.latency) / (above.latency - below.latency)
        inner = min(max(inner, INWARD), 1 - INWARD) if number < 4 else 0.5
        return below.macs + inner * (above.macs - below.macs)
    if above.macs == 1:
        return goal / start
    slope = (start - above.latency) / (1 - above.macs)
    if slope <= 0:  # fewer MACs have not made it faster
        return 0.0
    straight = above.macs - (above.latency - goal) / slope
    return min(max(straight, OUTWARD * above.macs), 0.9 * above.macs)


def _best(found: list[Point], goal: float, start: float) -> Point:
    near = [point for point in found if is_met(point.latency, goal, TOLERANCE)]
    if near:
        return min(near, key=lambda point: abs(point.latency - goal))
    under = [point for point in found if not _slow(point, goal)]
    if under:
        return max(under, key=lambda point: point.latency)
    fastest = min(point.latency for point in found)
    raise UnreachableTargetError("No network is as fast as that.", min(fastest, start), start)


def is_met(latency: float, goal: float, tolerance: float) -> bool:
    return abs(latency - goal) <= tolerance * goal


def _slow(point: Point, goal: float) -> bool:
    return point.latency > goal * (1 + TOLERANCE)
