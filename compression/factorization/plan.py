"""What a factorisation decided: its plan as plain data, and in words."""

from collections.abc import Mapping
from typing import NotRequired, TypedDict

USED_OUTSIDE, OWN_FORWARD = "used from outside", "with a forward of its own"
BY_KIND = "called by its kind only"
UNUSED, SHARED, MASKED, HOOKED, COMPUTED = "unused", "shared", "masked", "hooked", "computed-weight"
# Why a layer is left alone that could be factorised, were its network written in another way.
NAMED = (USED_OUTSIDE, OWN_FORWARD, BY_KIND, UNUSED, SHARED, MASKED, HOOKED, COMPUTED)


class LayerPlan(TypedDict):
    """One layer that becomes a product.

    Attributes:
        rank: of the product, one number for each mode.
        channels: the largest rank that the layer could be given, as `rank`.
        why: the rule in two words, as `energy 0.9`.
        macs: of one pass of the network, before and after.
        params: before and after.
        latency_ms: of one pass, before and after, where both were measured.
    """

    rank: list[int]
    channels: list[int]
    why: str
    macs: list[int]
    params: list[int]
    latency_ms: NotRequired[list[float]]


class FactorizationPlan(TypedDict):
    """The plan of a round of tucker, cp, svd or spatial_svd, version 1.

    Attributes:
        layers: those that are factorised, by name.
        skipped: why others are left alone, by name.
        target: how near the network comes to the target, in words, where there is one.
        latency_ms: of the network that entered the step and after the round, where measured.
    """

    layers: dict[str, LayerPlan]
    skipped: dict[str, str]
    target: NotRequired[str]
    latency_ms: NotRequired[list[float]]


def plan_lines(plan: FactorizationPlan) -> list[str]:
    """Which layers were factorised, how many others were not and why; what the target came to."""
    names = list(plan["layers"])
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    layers = "layer" if len(names) == 1 else "layers"
    text = f"factorised {len(names)} {layers}: {', '.join(names[:4])}{more}"
    if plan["skipped"]:
        text += f"; left alone: {counted(plan['skipped'])}"
    return [text, *([f"now at {plan['target']}"] if "target" in plan else [])]


def layer_lines(plan: FactorizationPlan) -> dict[str, str]:
    """Rank, cost and time of each factorised layer, and why others were left alone."""
    done = {name: described(choice) for name, choice in plan["layers"].items()}
    return {**done, **{name: f"left alone: {why}" for name, why in plan["skipped"].items()}}


def described(choice: LayerPlan) -> str:
    """One layer's plan in words, as `rank 12 x 9 of 24 x 16 by energy 0.9, 100 -> 40 MACs`.

    Milliseconds before and after follow where they were measured.
    """
    full = " x ".join(map(str, choice["channels"]))
    before, after = choice["macs"]
    text = f"{rank_of(choice)} of {full} by {choice['why']}, {before:,} -> {after:,} MACs"
    if "latency_ms" in choice:
        slow, fast = choice["latency_ms"]
        text += f", {slow:.3g} -> {fast:.3g} ms"
    return text


def rank_of(choice: LayerPlan) -> str:
    """The ranks of one layer's plan in words, as `rank 12 x 9`."""
    return "rank " + " x ".join(map(str, choice["rank"]))


def counted(skipped: Mapping[str, str]) -> str:
    """The reasons and how many layers have each, as `3 grouped, 1 excluded`.

    Layers that lie in the way of their own network are named, too.
    """
    layers: dict[str, list[str]] = {}
    for name, reason in skipped.items():
        layers.setdefault(reason.partition(" (")[0], []).append(name)
    return ", ".join(
        f"{len(names)} {reason}{_named(names) if reason in NAMED else ''}"
        for reason, names in layers.items()
    )


def _named(names: list[str]) -> str:
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return f" ({', '.join(names[:2])}{more})"
