"""Meeting a latency target: whole networks are measured, and each measurement guides the next.

MACs are the parameter: a step knows by arithmetic how to reach a ratio of them, and latency grows
with them, if not in proportion. So a few networks are measured, with ever better guesses between
them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, cast

import torch
from torch import nn

from compression import step
from compression.cost import count_macs
from compression.errors import CompressionError
from compression.latency.relative_latency import RelativeLatency, Structure, structure_of
from compression.network_copy import copy_network
from compression.step import Context, P, Plan
from compression.target import (
    RoundTarget,
    Solution,
    Target,
    UnreachableTargetError,
    round_ratio,
)

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


def plan_for_latency(
    target: Target,
    plan_at: Callable[[RoundTarget], P],
    restructure: Callable[[nn.Module, P], nn.Module],
    network: nn.Module,
    context: Context,
    *,
    round: int = 0,
    rounds: int = 1,
    entered: tuple[str, float] | None = None,
) -> P:
    """The plan that meets a latency target, with what was measured as `latency_ms` and `target`.

    Args:
        target: a ratio of the latency.
        plan_at: the step's plan for a ratio of the MACs that `network` has, or of `entered`.
        restructure: of the step.
        network: as it enters the round.
        context: its `relative_latency` compares with the network that entered the step.
        round: from 0.
        rounds: of the step.
        entered: another measure whose ratio the step can plan for, and the network's cost by it.

    Raises:
        UnreachableTargetError: no network of this step is fast enough; says how far it can go.
        CompressionError: a network cannot be exported.
    """
    if context.with_values is not None:
        return _smallest_plan(
            target,
            plan_at,
            restructure,
            network,
            context,
            round=round,
            rounds=rounds,
            entered=entered,
        )
    relative = _relative_latency(network, context, round)
    measure, whole = entered or ("macs", count_macs(network, context.image_size))

    def candidate_at(ratio: float) -> tuple[P, nn.Module]:
        plan = plan_at(RoundTarget(Target(measure, ratio), {measure: whole}))
        return plan, random_weight_copy(network, restructure, plan)

    entry_cost = {"latency": context.entry_cost.get("latency") or relative.reference_ms}
    round_target = RoundTarget(target, entry_cost, round, rounds)
    goal = round_target.cost / entry_cost["latency"]
    try:
        found = search(candidate_at, relative.ratio, goal, start=relative.ratio(network))
    except UnreachableTargetError as error:
        raise target.unreachable(error.minimum, error.maximum, round=round, rounds=rounds) from None
    entry_ms = entry_cost["latency"]
    milliseconds = found.latency * entry_ms
    solution = Solution(found.macs, milliseconds, _met(found.latency, goal, TOLERANCE))
    report = (
        f"{round_target.report(solution)} ({entry_cost['latency']:.3g} -> {milliseconds:.3g} ms)"
    )
    if predicted := found.plan.get("predicted_ms"):
        apart = predicted / milliseconds - 1
        report += f"; the times of its layers add up to {predicted:.3g} ms ({apart:+.0%})"
    if note := getattr(relative, "note", ""):  # a measurement of one's own may have none
        report = f"{report}. {note.rstrip('.')}"
    measured = {"latency_ms": [entry_ms, milliseconds], "target": report}
    return cast(P, {**found.plan, **measured})


def _smallest_plan(
    target: Target,
    plan_at: Callable[[RoundTarget], P],
    restructure: Callable[[nn.Module, P], nn.Module],
    network: nn.Module,
    context: Context,
    *,
    round: int,
    rounds: int,
    entered: tuple[str, float] | None,
) -> P:
    """Before training: the cheapest plan, the one measured, to know if it is enough."""
    valued = context.with_values() if context.with_values is not None else network
    relative = _relative_latency(valued, context, round)
    measure, whole = entered or ("macs", count_macs(network, context.image_size))
    costs = {measure: whole}
    plan, _ = _at_least(0.0, lambda ratio: plan_at(RoundTarget(Target(measure, ratio), costs)))
    start = relative.ratio(valued)
    fastest = min(start, relative.ratio(random_weight_copy(valued, restructure, plan)))
    # Measured once, it is refused only where a better measurement would not help.
    if fastest > round_ratio(target.ratio, round, rounds) * (1 + TOLERANCE + NEAR):
        raise target.unreachable(fastest, start, round=round, rounds=rounds)
    return plan


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
        (plan, network), found = _at_least(ratio, candidate_at)
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
        if _met(found[-1].latency, goal, NEAR) or (slower and found[-1].lowest):
            break
        above, below = (found[-1], below) if slower else (above, found[-1])
        if below is not None and above.macs - below.macs < FINEST:
            break
    if all(_slow(point, goal) for point in found) and not any(point.lowest for point in found):
        found.append(at(0.0))
    return _best(found, goal, start)


def _at_least(ratio: float, plan_at: Callable[[float], T]) -> tuple[T, float]:
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


@torch.no_grad()
def random_weight_copy(
    network: nn.Module, restructure: Callable[[nn.Module, P], nn.Module], plan: P
) -> nn.Module:
    """The network that a plan leads to, with noise for weights: its latency is the same.

    To transfer the weights may take long, as a decomposition does.
    """
    before = dict(network.named_buffers())
    twin = restructure(copy_network(network), plan)
    generator = torch.Generator().manual_seed(0)
    for parameter in twin.parameters():
        fan_in = max(parameter[0].numel(), 1) if parameter.ndim > 1 else 0
        noise = torch.randn(parameter.shape, generator=generator) if fan_in else torch.tensor(1.0)
        parameter.copy_((noise / max(fan_in, 1) ** 0.5).expand(parameter.shape))
    for name, buffer in twin.named_buffers():
        if name not in before or before[name].shape != buffer.shape:
            buffer.fill_(1)  # statistics of a norm that lost channels
    return twin


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
    near = [point for point in found if _met(point.latency, goal, TOLERANCE)]
    if near:
        return min(near, key=lambda point: abs(point.latency - goal))
    under = [point for point in found if not _slow(point, goal)]
    if under:
        return max(under, key=lambda point: point.latency)
    fastest = min(point.latency for point in found)
    raise UnreachableTargetError("No network is as fast as that.", min(fastest, start), start)


def _met(latency: float, goal: float, tolerance: float) -> bool:
    return abs(latency - goal) <= tolerance * goal


def _slow(point: Point, goal: float) -> bool:
    return point.latency > goal * (1 + TOLERANCE)


def entered_ms(network: nn.Module, context: Context, round: int) -> float:
    """Milliseconds of the network as it enters a round.

    Raises:
        CompressionError: nothing is known of the network as it entered the step.
    """
    relative = _relative_latency(network, context, round)
    return relative.reference_ms * relative.ratio(network)


def _relative_latency(network: nn.Module, context: Context, round: int) -> step.RelativeLatency:
    if context.relative_latency is not None:
        return context.relative_latency
    if round > 0:
        raise CompressionError(
            "A latency target in several rounds needs Context.relative_latency, of the network as "
            "it entered the step."
        )
    return RelativeLatency(network, context.image_size, context.images)
