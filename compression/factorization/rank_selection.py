"""Which layers are factorised at which rank: only those that get cheaper or faster by it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from compression.factorization.candidate import Candidate
from compression.factorization.layer_timer import LayerTimer
from compression.factorization.plan import FactorizationPlan, LayerPlan, rank_of
from compression.factorization.rank_rule import Rule
from compression.factorization.rank_rules import Ratio
from compression.step import LayerSpace, Treatment


def select_ranks(
    candidates: Sequence[Candidate],
    rule: Rule,
    timer: LayerTimer | None,
    number: int = 0,
    rounds: int = 1,
) -> FactorizationPlan:
    """A choice for each layer that is factorised, and for each other one why it is not.

    Args:
        candidates: the layers that can be factorised.
        rule: that chooses ranks.
        timer: leaves those alone that do not measure faster; None: MACs and parameters decide.
        number: of the round, from 0.
        rounds: how many there are.
    """
    plan: FactorizationPlan = {"layers": {}, "skipped": {}}
    ranks = rule.ranks_of(candidates, number, rounds)
    for candidate in candidates:
        rank = ranks[candidate.name]
        if not all(rank):
            plan["skipped"][candidate.name] = rule.nothing_of(candidate.name)
            continue
        if not rule.named:
            rank = candidate.clamp_min_rank(rank)
        rank = candidate.decomposition.useful(rank, candidate.geometry)
        choice = _choice(candidate, rank, rule)
        reason = _no_cheaper(choice) or _no_faster(candidate, choice, timer)
        if reason is None:
            plan["layers"][candidate.name] = choice
        else:
            plan["skipped"][candidate.name] = reason
    return plan


def _choice(candidate: Candidate, rank: list[int], rule: Rule) -> LayerPlan:
    before, after = candidate.cost, candidate.cost_at(rank)
    choice: LayerPlan = {
        "rank": rank,
        "channels": candidate.max_rank,
        "why": rule.why_of(candidate.name),
        "macs": [before["macs"], after["macs"]],
        "params": [before["params"], after["params"]],
    }
    if candidate.whitening is not None:
        choice["whitened"] = candidate.whitening.plan()
    return choice


def _no_cheaper(choice: LayerPlan) -> str | None:
    (macs, fewer_macs), (params, fewer_params) = choice["macs"], choice["params"]
    if fewer_macs < macs and fewer_params <= params:
        return None
    changes = f"{macs:,} -> {fewer_macs:,} MACs, {params:,} -> {fewer_params:,} parameters"
    return f"no cheaper ({rank_of(choice)}: {changes})"


def _no_faster(candidate: Candidate, choice: LayerPlan, timer: LayerTimer | None) -> str | None:
    if timer is None:
        return None
    before, after = timer.compare(candidate, choice["rank"])
    choice["latency_ms"] = [before, after]
    if timer.gains(before, after):
        return None
    return f"no faster ({rank_of(choice)}: {before:.3g} -> {after:.3g} ms)"


def layer_treatments(
    candidates: Sequence[Candidate],
    ratios: Sequence[float],
    running: Callable[[FactorizationPlan], FactorizationPlan | None],
) -> list[Treatment]:
    """One for each layer and each ratio of its full rank at which it gets cheaper.

    Args:
        candidates: the layers that can be factorised.
        ratios: of the full rank.
        running: gives a plan back if the network runs with it.
    """
    found = []
    for candidate in candidates:
        for ratio in ratios:
            plan = select_ranks([candidate], Ratio(ratio), None)
            if candidate.name in plan["layers"]:
                what = rank_of(plan["layers"][candidate.name])
                what += "" if candidate.whitening is None else ", whitened"
                name, made = candidate.name, partial(running, plan)
                found.append(Treatment(layer=name, ratio=ratio, kept=ratio, what=what, plan=made))
    return found


def ratio_space(candidates: Sequence[Candidate]) -> LayerSpace:
    """The ratio of its full rank for each layer that has more than one rank."""
    layers = {layer.name: layer for layer in candidates if layer.min_rank != layer.max_rank}

    def ranks(drawn: Mapping[str, float]) -> dict[str, Any]:
        found: dict[str, int | list[int]] = {}
        for name, ratio in drawn.items():
            rank = layers[name].clamp_min_rank(Ratio(ratio).rank(layers[name], 0, 1))
            found[name] = rank[0] if len(rank) == 1 else rank
        return {"ranks": found}

    return LayerSpace(setting="ranks", choices=dict.fromkeys(layers), settings=ranks)
