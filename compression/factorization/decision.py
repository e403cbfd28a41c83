"""Which layers are factorised at which rank: only those that get cheaper by it."""

from collections.abc import Sequence

from compression.factorization.candidate import Candidate
from compression.factorization.clock import GAIN, Clock
from compression.factorization.ranks.rule import Rule
from compression.step import Plan


def decide(
    candidates: Sequence[Candidate],
    rule: Rule,
    clock: Clock | None,
    number: int = 0,
    rounds: int = 1,
) -> Plan:
    """A choice for each layer that is factorised, and for each other one why it is not.

    Args:
        candidates: the layers that can be factorised.
        rule: that chooses ranks.
        clock: leaves those alone that do not measure faster; None: MACs and parameters decide.
        number: of the round, from 0.
        rounds: how many there are.
    """
    plan: Plan = {"layers": {}, "skipped": {}}
    for candidate in candidates:
        rank = rule.rank(candidate, number, rounds)
        if not all(rank):
            plan["skipped"][candidate.name] = rule.nothing
            continue
        if not rule.named:
            rank = candidate.raised(rank)
        rank = candidate.form.useful(rank, candidate.geometry)
        before, after = candidate.cost, candidate.cost_at(rank)
        choice = {"rank": rank, "channels": candidate.full, "why": rule.why()}
        choice |= {measure: [before[measure], after[measure]] for measure in before}
        reason = _no_cheaper(choice) or _no_faster(candidate, choice, clock)
        if reason is None:
            plan["layers"][candidate.name] = choice
        else:
            plan["skipped"][candidate.name] = reason
    return plan


def _no_cheaper(choice: Plan) -> str | None:
    (macs, fewer_macs), (params, fewer_params) = choice["macs"], choice["params"]
    if fewer_macs < macs and fewer_params <= params:
        return None
    changes = f"{macs:,} -> {fewer_macs:,} MACs, {params:,} -> {fewer_params:,} parameters"
    return f"no cheaper ({rank_of(choice)}: {changes})"


def _no_faster(candidate: Candidate, choice: Plan, clock: Clock | None) -> str | None:
    if clock is None:
        return None
    before, after = clock.compare(candidate, choice["rank"])
    choice["latency_ms"] = [before, after]
    if after <= (1 - GAIN) * before:
        return None
    return f"no faster ({rank_of(choice)}: {before:.3g} -> {after:.3g} ms)"


def described(choice: Plan) -> str:
    """`rank 12 x 9 of 24 x 16 by energy 0.9, 100 -> 40 MACs`."""
    full = " x ".join(map(str, choice["channels"]))
    before, after = choice["macs"]
    text = f"{rank_of(choice)} of {full} by {choice['why']}, {before:,} -> {after:,} MACs"
    if "latency_ms" in choice:
        before, after = choice["latency_ms"]
        text += f", {before:.3g} -> {after:.3g} ms"
    return text


def rank_of(choice: Plan) -> str:
    """`rank 12 x 9`."""
    return "rank " + " x ".join(map(str, choice["rank"]))
