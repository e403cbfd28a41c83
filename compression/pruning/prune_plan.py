"""What a round of channel pruning decided, and how that is told."""

import re
from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

from compression.errors import CompressionError

NAMED = 4  # of the layers with one reason
NO_FASTER = "no faster"  # such a reason begins; times follow
# Reasons that differ from layer to layer, and what several of them are called together.
KINDS = {
    f"{NO_FASTER}.*": f"{NO_FASTER} at their smallest",
    r"its channels enter (\S+) in .*": r"their channels enter \1",
    r"\d+ windows are too few for its \d+ inputs": "too few windows for their inputs",
}
CHOSEN = ("excluded", "ignored")  # by the command, today and formerly


class KeptIndices(TypedDict):
    """Which indices of which tensors survive.

    Attributes:
        kept: lists of surviving indices, in their new order; each is written once.
        axes: name of a tensor -> its cut axis -> number of the list in `kept`. Axis 1 of a grouped
            convolution stands for all of its input channels.
        shapes: of the tensors in `axes`, before.
        groups: of the convolutions among them that have groups.
        folded: layers whose weights were made of other tensors, and are plain ones first.
        heads: [heads after, heads before] of attention modules that lost whole ones; and of each
            module that another one stands for (such as `HeadAttention` for
            `nn.MultiheadAttention`) as one of its tensors is cut.
    """

    kept: list[list[int]]
    axes: dict[str, dict[str, int]]
    shapes: dict[str, list[int]]
    groups: dict[str, int]
    folded: NotRequired[list[str]]
    heads: NotRequired[dict[str, list[int]]]


# A word that plans keep, though nothing else is called so any more.
_Skipped = TypedDict("_Skipped", {"left": dict[str, str]})  # noqa: UP013


class RefittedLayer(TypedDict):
    """How a layer that loses inputs is refitted to its outputs before.

    Attributes:
        ridge: towards its weights as they are, in mean variances of an input.
        centered: whether a bias or BatchNorm makes up for the mean.
        error: squared error of its outputs over their variance, before and after, on images that it
            was not fitted to where there are any.
    """

    ridge: float
    centered: bool
    error: list[float]


class PrunePlan(KeptIndices, _Skipped):
    """The plan of `Prune`.

    Attributes:
        layers: [name, channels after, channels before] of each group of layers that could be cut.
        why: importance, scope and what was reached, in words.
        left: why other groups of layers were left alone, by name.
        unknown: operations that nobody has explained, with the modules that call them.
        target: what a latency target came to, in words.
        refit: layers that are refitted on images, by name.
        not_refit: why other layers that lose inputs are not, by name.
        latency_ms: with such a target, of the network before and after, in milliseconds.
        predicted_ms: after it by the times of its layers added up, where they decided.
    """

    layers: list[list[Any]]
    why: str
    unknown: dict[str, str]
    target: NotRequired[str]
    refit: NotRequired[dict[str, RefittedLayer]]
    not_refit: NotRequired[dict[str, str]]
    latency_ms: NotRequired[list[float]]
    predicted_ms: NotRequired[float]


def require_cut(plan: PrunePlan, round_to: int) -> None:
    """Refuse a plan that takes out nothing.

    Args:
        plan: of the only round.
        round_to: the setting, which may be why.

    Raises:
        CompressionError: no layer loses a channel.
    """
    if not any(after < before for _, after, before in plan["layers"]):
        raise CompressionError(
            f"prune would take out no channel ({plan['why']}). Ask for a smaller ratio, or a "
            f"smaller round_to (now {round_to})."
        )


def describe_plan(plan: PrunePlan) -> list[str]:
    """How many channels are left in all, then which layers were left alone and why."""
    kept, before = (sum(layer[i] for layer in plan["layers"]) for i in (1, 2))
    cut = [layer for layer in plan["layers"] if layer[1] < layer[2]]
    layers = "layer" if len(cut) == 1 else "layers"
    channels = f"{kept} of {before} channels{_heads(plan)}"
    line = f"kept {channels}, {len(cut)} {layers} cut ({plan['why']})"
    return [line, *_reasons(plan["left"]), *_unknown(plan), *_refit(plan)]


def describe_plan_layers(plan: PrunePlan) -> dict[str, str]:
    """Channels kept of each layer, and why others were left alone."""
    done = {
        name: f"kept {_kept(plan, name) or f'{after} of {width} channels'} ({plan['why']})"
        for name, after, width in plan["layers"]
    }
    done = {**{name: f"left alone: {why}" for name, why in plan["left"].items()}, **done}
    for name, (before, after) in _errors(plan).items():
        said = f"inputs refitted, squared output error {before:.2g} -> {after:.2g}"
        done[name] = f"{done[name]}, {said}" if name in done else said
    for name, why in plan.get("not_refit", {}).items():
        said = f"inputs not refitted: {why}"
        done[name] = f"{done[name]}, {said}" if name in done else said
    return done


def _heads(plan: PrunePlan) -> str:
    """How many heads are left of attention that lost any; nothing where none did."""
    found = [counts for counts in plan.get("heads", {}).values() if counts[0] < counts[1]]
    left, before = (sum(counts[i] for counts in found) for i in (0, 1))
    return f" and {left} of {before} heads" if found else ""


def _kept(plan: PrunePlan, layer: str) -> str | None:
    """The heads that are left where a layer makes queries, keys or values of whole ones."""
    for name, (left, before) in plan.get("heads", {}).items():
        if layer in (name, f"{name}.{layer.rpartition('.')[2]}") and left < before:
            return f"{left} of {before} heads"
    return None


def _reasons(reasons: Mapping[str, str], what: str = "left alone") -> list[str]:
    """Why layers were left, with their number and names; who excluded them knows those."""
    alike: dict[str, dict[str, None]] = {}
    for reason in reasons.values():
        alike.setdefault(_kind(reason), {})[reason] = None
    by_reason: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        several = len(alike[_kind(reason)]) > 1
        by_reason.setdefault(_kind(reason) if several else reason, []).append(name)
    lines = []
    for reason, names in by_reason.items():
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        named = "" if reason in CHOSEN else f" ({', '.join(names[:NAMED])}{more})"
        lines.append(f"{len(names)} {what}: {reason}{named}")
    return lines


def _kind(reason: str) -> str:
    """A reason without what it says of one layer alone: times, numbers, the module."""
    for pattern, kind in KINDS.items():
        if re.match(pattern, reason):
            return re.sub(pattern, kind, reason)
    return reason


def _unknown(plan: PrunePlan) -> list[str]:
    """What old plans say of operations alone."""
    return [
        f"1 left alone: its channels enter {op} in {at or 'it'}"
        for op, at in plan["unknown"].items()
        if not any(why.startswith(f"its channels enter {op} in ") for why in plan["left"].values())
    ]


def _refit(plan: PrunePlan) -> list[str]:
    """How many layers were refitted, how near they came, and why others were not."""
    lines = []
    if errors := list(_errors(plan).values()):
        before, after = (sum(each) / len(errors) for each in zip(*errors, strict=True))
        layers = "layer" if len(errors) == 1 else "layers"
        lines.append(
            f"{len(errors)} {layers} refitted to their outputs on training images: squared error "
            f"{before:.2g} -> {after:.2g} of their variance"
        )
    return lines + _reasons(plan.get("not_refit", {}), "not refitted")


def _errors(plan: PrunePlan) -> dict[str, tuple[float, float]]:
    """The squared error of each refitted layer over its variance, before and after."""
    return {name: (how["error"][0], how["error"][1]) for name, how in plan.get("refit", {}).items()}
