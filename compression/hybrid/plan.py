"""What the step `hybrid` decided: the plans of the steps that it is made of."""

from typing import NotRequired, TypedDict

from compression.factorization.plan import FactorizationPlan, layer_lines, plan_lines
from compression.pruning.prune_plan import PrunePlan, describe_plan, describe_plan_layers


class HybridPlan(TypedDict):
    """The plan of a round of `Hybrid`, version 1; its parts are done in this order.

    Attributes:
        why: what was reached, in words.
        prune: which channels go; None where all stay.
        svd: of the network that pruning leaves; None where it changes nothing.
        tucker: the same.
        no_channels: why pruning can take none out of this network, in words, where that is so.
        target: what a latency target came to, in words.
        latency_ms: with such a target, of the network before and after, in milliseconds.
        predicted_ms: after it by the times of its layers added up.
    """

    why: str
    prune: PrunePlan | None
    svd: FactorizationPlan | None
    tucker: FactorizationPlan | None
    no_channels: NotRequired[str]
    target: NotRequired[str]
    latency_ms: NotRequired[list[float]]
    predicted_ms: NotRequired[float]


def hybrid_lines(plan: HybridPlan) -> list[str]:
    """What was reached, then what each part does."""
    lines = [f"now at {plan['why']}"]
    if plan["prune"] is not None:
        lines += [f"prune: {line}" for line in describe_plan(plan["prune"])]
    if "no_channels" in plan:
        lines.append(f"prune: {plan['no_channels']}")
    for name, part in (("svd", plan["svd"]), ("tucker", plan["tucker"])):
        if part is not None:
            lines += [f"{name}: {line}" for line in plan_lines(part)]
    return lines


def hybrid_layer_lines(plan: HybridPlan) -> dict[str, str]:
    """What was done to each layer, by all parts that did anything to it."""
    parts = [part for part in (plan["svd"], plan["tucker"]) if part is not None]
    found: dict[str, list[str]] = {}
    for lines in map(layer_lines, parts):
        for layer, line in lines.items():
            if not line.startswith("left alone"):
                found.setdefault(layer, []).append(line)
    if plan["prune"] is not None:
        for layer, line in describe_plan_layers(plan["prune"]).items():
            found.setdefault(layer, []).append(line)
    return {layer: "; ".join(lines) for layer, lines in found.items()}
