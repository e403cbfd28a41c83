"""Meeting a latency target: networks that a step leads to are measured until one is as fast."""

from collections.abc import Callable
from dataclasses import replace
from typing import cast

from torch import nn

from compression.bisection import Solution, UnreachableTargetError
from compression.context import Context
from compression.context import RelativeLatency as LatencyRatios
from compression.cost import count_macs
from compression.errors import CompressionError
from compression.latency.latency_search import NEAR, TOLERANCE, is_met, plan_at_least, search
from compression.latency.random_weights import random_weight_copy
from compression.latency.relative_latency import RelativeLatency
from compression.step import P
from compression.target import RoundTarget, Target


def plan_for_latency(
    goal: RoundTarget,
    plan_at: Callable[[RoundTarget], P],
    restructure: Callable[[nn.Module, P], nn.Module],
    network: nn.Module,
    context: Context,
    *,
    entered: tuple[str, float] | None = None,
) -> P:
    """The plan that meets a latency target, with what was measured as `latency_ms` and `target`.

    Args:
        goal: of the round; where it does not know the latency of the network that entered the
            step, that is measured.
        plan_at: the step's plan for a ratio of the MACs that `network` has, or of `entered`.
        restructure: of the step.
        network: as it enters the round.
        context: its `relative_latency` compares with the network that entered the step.
        entered: another measure whose ratio the step can plan for, and the network's cost by it.

    Raises:
        UnreachableTargetError: no network of this step is fast enough; says how far it can go.
        CompressionError: a network cannot be exported.
    """
    measure, whole = entered or ("macs", count_macs(network, context.image_size))

    def plan_of(ratio: float) -> P:
        return plan_at(RoundTarget(Target(measure, ratio), {measure: whole}))

    if context.with_values is not None:
        return _smallest_plan(goal, plan_of, restructure, network, context)
    relative = _relative_latency(network, context, goal.round)

    def candidate_at(ratio: float) -> tuple[P, nn.Module]:
        plan = plan_of(ratio)
        return plan, random_weight_copy(network, restructure, plan)

    entry_ms = goal.entry_cost.get("latency") or relative.reference_ms
    goal = replace(goal, entry_cost={"latency": entry_ms})
    try:
        found = search(candidate_at, relative.ratio, goal.ratio, start=relative.ratio(network))
    except UnreachableTargetError as error:
        raise _unreachable(goal, error.minimum, error.maximum) from None
    milliseconds = found.latency * entry_ms
    solution = Solution(found.macs, milliseconds, is_met(found.latency, goal.ratio, TOLERANCE))
    report = f"{goal.report(solution)} ({entry_ms:.3g} -> {milliseconds:.3g} ms)"
    if predicted := found.plan.get("predicted_ms"):
        apart = predicted / milliseconds - 1
        report += f"; the times of its layers add up to {predicted:.3g} ms ({apart:+.0%})"
    if note := getattr(relative, "note", ""):  # a measurement of one's own may have none
        report = f"{report}. {note.rstrip('.')}"
    measured = {"latency_ms": [entry_ms, milliseconds], "target": report}
    return cast(P, {**found.plan, **measured})


def _smallest_plan(
    goal: RoundTarget,
    plan_of: Callable[[float], P],
    restructure: Callable[[nn.Module, P], nn.Module],
    network: nn.Module,
    context: Context,
) -> P:
    """Before training: the cheapest plan, the one measured, to know if it is enough."""
    valued = context.with_values() if context.with_values is not None else network
    relative = _relative_latency(valued, context, goal.round)
    plan, _ = plan_at_least(0.0, plan_of)
    start = relative.ratio(valued)
    fastest = min(start, relative.ratio(random_weight_copy(valued, restructure, plan)))
    # Measured once, it is refused only where a better measurement would not help.
    if fastest > goal.ratio * (1 + TOLERANCE + NEAR):
        raise _unreachable(goal, fastest, start)
    return plan


def _unreachable(goal: RoundTarget, minimum: float, maximum: float) -> UnreachableTargetError:
    """The refusal of a step that can only reach these ratios."""
    return goal.target.unreachable(minimum, maximum, round=goal.round, rounds=goal.rounds)


def entered_ms(network: nn.Module, context: Context, round: int) -> float:
    """Milliseconds of the network as it enters a round.

    Raises:
        CompressionError: nothing is known of the network as it entered the step.
    """
    relative = _relative_latency(network, context, round)
    return relative.reference_ms * relative.ratio(network)


def _relative_latency(network: nn.Module, context: Context, round: int) -> LatencyRatios:
    if context.relative_latency is not None:
        return context.relative_latency
    if round > 0:
        raise CompressionError(
            "A latency target in several rounds needs Context.relative_latency, of the network as "
            "it entered the step."
        )
    return RelativeLatency(network, context.image_size, context.images)
