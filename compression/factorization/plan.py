"""What a factorisation decided: its plan as plain data, and in words."""

from collections.abc import Mapping
from typing import NotRequired, TypedDict

USED_OUTSIDE, OWN_FORWARD = "used from outside", "with a forward of its own"
BY_KIND = "called by its kind only"
UNUSED, SHARED, MASKED, HOOKED, COMPUTED = "unused", "shared", "masked", "hooked", "computed-weight"
# Why a layer is left alone that could be factorised, were its network written in another way.
NAMED = (USED_OUTSIDE, OWN_FORWARD, BY_KIND, UNUSED, SHARED, MASKED, HOOKED, COMPUTED)


class WhitenedPlan(TypedDict):
    """What the weights of a product are fitted to.

    Attributes:
        windows: of the layer's input that were looked at.
        inputs: numbers in each.
        ridge: how far their covariance was shrunk towards white noise, in 0..1.
        centered: whether a bias or a BatchNorm after the layer takes up a shift of its outputs.
    """

    windows: int
    inputs: int
    ridge: float
    centered: bool


class LayerPlan(TypedDict):
    """One layer that becomes a product.

    Attributes:
        rank: of the product, one number for each mode.
        channels: the largest rank that the layer could be given, as `rank`.
        why: the rule in two words, as `energy 0.9`.
        macs: of one pass of the network, before and after.
        params: before and after.
        latency_ms: of one pass, before and after, where both were measured.
        whitened: where the weights are fitted to the outputs on training images.
    """

    rank: list[int]
    channels: list[int]
    why: str
    macs: list[int]
    params: list[int]
    latency_ms: NotRequired[list[float]]
    whitened: NotRequired[WhitenedPlan]


class FactorizationPlan(TypedDict):
    """The plan of a round of tucker, cp, svd or spatial_svd, version 1.

    Attributes:
        layers: those that are factorised, by name.
        skipped: why others are left alone, by name.
        target: how near the network comes to the target, in words, where there is one.
        latency_ms: of the network that entered the step and after the round, where measured.
        images: how many the weights of products are fitted to, where they are.
        predicted_ms: after the round by the times of its layers added up, where they decided.
    """

    layers: dict[str, LayerPlan]
    skipped: dict[str, str]
    target: NotRequired[str]
    latency_ms: NotRequired[list[float]]
    images: NotRequired[int]
    predicted_ms: NotRequired[float]


def plan_lines(plan: FactorizationPlan) -> list[str]:
    """Which layers were factorised, how many others were not and why; what the target came to."""
    names = list(plan["layers"])
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    layers = "layer" if len(names) == 1 else "layers"
    text = f"factorised {len(names)} {layers}: {', '.join(names[:4])}{more}"
    if plan["skipped"]:
        text += f"; left alone: {counted(plan['skipped'])}"
    target = [f"now at {plan['target']}"] if "target" in plan else []
    return [text, *_whitened_lines(plan), *target]


def _whitened_lines(plan: FactorizationPlan) -> list[str]:
    """What the weights are fitted to, and where that was too little."""
    whitened = {name: own["whitened"] for name, own in plan["layers"].items() if "whitened" in own}
    if not whitened:
        return []
    few = [name for name, own in whitened.items() if own["windows"] < own["inputs"]]
    text = f"weights fitted to the outputs on {_numbered(plan.get('images', 0), 'image')}"
    if few:
        layers = "a layer" if len(few) == 1 else f"{len(few)} layers"
        text += f"; regularised for {layers} with more inputs than windows seen{_named(few)}"
    blind = len(plan["layers"]) - len(whitened)
    return [text + (f"; {blind} by their weights alone" if blind else "")]


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
    if "whitened" in choice:
        own = choice["whitened"]
        few = own["windows"] < own["inputs"]
        text += ", whitened"
        windows = _numbered(own["windows"], "window")
        text += f" (ridge {own['ridge']:.2g}: {windows})" if few else ""
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


def _numbered(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _named(names: list[str]) -> str:
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return f" ({', '.join(names[:2])}{more})"
