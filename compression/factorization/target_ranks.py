"""Ranks that meet a target: the number of a rule is turned until the network costs that much."""

from collections.abc import Callable, Sequence

from torch import nn

from compression.context import Context
from compression.cost import network_cost
from compression.factorization.candidate import Candidate
from compression.factorization.layer_timer import LayerTimer
from compression.factorization.plan import FactorizationPlan
from compression.factorization.rank_rule import Rule
from compression.factorization.rank_selection import select_ranks
from compression.latency import entered_ms, plan_for_latency
from compression.target import RoundTarget

Restructure = Callable[[nn.Module, FactorizationPlan], nn.Module]


def plan_for_target(
    goal: RoundTarget,
    rule: Rule,
    candidates: Sequence[Candidate],
    network: nn.Module,
    context: Context,
    timer: LayerTimer | None,
    restructure: Restructure,
) -> FactorizationPlan:
    """The plan of a round that meets its target.

    Args:
        goal: of the round; without the cost of the network that entered the step it is this one's.
        rule: whose number is turned.
        candidates: layers of the network that can be factorised.
        network: as it enters the round.
        context: of the round.
        timer: leaves those layers alone that do not measure faster, as a target of latency always
            does; None: their cost decides.
        restructure: of the step.

    Raises:
        UnreachableTargetError: says how far the step can go.
        CompressionError: a network cannot be exported, to be measured.
    """
    target, measure = goal.target, goal.target.measure
    if measure != "latency":
        now = network_cost(network, measure, context.image_size)
        entry_cost = goal.entry_cost or {measure: now}
        goal = RoundTarget(target, entry_cost, goal.round, goal.rounds)
        rule, report = rule_for(rule, goal, now, candidates, timer)
        return {**select_ranks(candidates, rule, timer), "target": report}
    blind = any(weight.is_meta for c in candidates for weight in c.layer.parameters())
    timer = None if blind else LayerTimer()

    by_time = not blind and rule.needs_target  # it adds the times of layers up
    entered = ("latency", entered_ms(network, context, goal.round)) if by_time else None

    def plan_at(aim: RoundTarget) -> FactorizationPlan:
        now = aim.entry_cost[aim.target.measure]
        clock = timer if by_time else None
        plan = select_ranks(candidates, rule_for(rule, aim, now, candidates, clock)[0], timer)
        if by_time:
            times = [layer["latency_ms"] for layer in plan["layers"].values()]
            plan["predicted_ms"] = now + sum(after - before for before, after in times)
        return plan

    return plan_for_latency(goal, plan_at, restructure, network, context, entered=entered)


def rule_for(
    rule: Rule,
    goal: RoundTarget,
    now: float,
    candidates: Sequence[Candidate],
    timer: LayerTimer | None,
) -> tuple[Rule, str]:
    """A rule at the setting that meets an aim, and how near; `now` is the network's cost."""
    measure = goal.target.measure
    rule = rule.among(candidates, measure)
    met = rule.meet(goal, now, candidates, timer)
    if met is not None:
        return met

    known = {candidate.name: candidate for candidate in candidates}

    def cost_at(parameter: float) -> float:
        layers = select_ranks(candidates, rule.at(parameter), timer)["layers"]
        return now + sum(
            known[name].cost_at(own["rank"])[measure] - known[name].cost[measure]
            for name, own in layers.items()
        )

    found = goal.solve(cost_at)
    return rule.at(found.parameter), goal.report(found)
