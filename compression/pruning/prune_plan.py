"""What a round of channel pruning decided, and how that is told."""

from typing import Any, NotRequired, TypedDict

NAMED = 4  # of the layers with one reason
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
    """

    kept: list[list[int]]
    axes: dict[str, dict[str, int]]
    shapes: dict[str, list[int]]
    groups: dict[str, int]
    folded: NotRequired[list[str]]


# A word that plans keep, though nothing else is called so any more.
_Skipped = TypedDict("_Skipped", {"left": dict[str, str]})  # noqa: UP013


class PrunePlan(KeptIndices, _Skipped):
    """The plan of `Prune`.

    Attributes:
        layers: [name, channels after, channels before] of each group of layers that could be cut.
        why: importance, scope and what was reached, in words.
        left: why other groups of layers were left alone, by name.
        unknown: operations that nobody has explained, with the modules that call them.
        target: what a latency target came to, in words.
        latency_ms: with such a target, of the network before and after, in milliseconds.
    """

    layers: list[list[Any]]
    why: str
    unknown: dict[str, str]
    target: NotRequired[str]
    latency_ms: NotRequired[list[float]]


def describe_plan(plan: PrunePlan) -> list[str]:
    """How many channels are left in all, then which layers were left alone and why."""
    kept, before = (sum(layer[i] for layer in plan["layers"]) for i in (1, 2))
    cut = [layer for layer in plan["layers"] if layer[1] < layer[2]]
    layers = "layer" if len(cut) == 1 else "layers"
    line = f"kept {kept} of {before} channels, {len(cut)} {layers} cut ({plan['why']})"
    return [line, *_reasons(plan)]


def describe_plan_layers(plan: PrunePlan) -> dict[str, str]:
    """Channels kept of each layer, and why others were left alone."""
    done = {
        name: f"kept {after} of {width} channels ({plan['why']})"
        for name, after, width in plan["layers"]
    }
    return {**{name: f"left alone: {why}" for name, why in plan["left"].items()}, **done}


def _reasons(plan: PrunePlan) -> list[str]:
    """Why layers were left alone, with their number and names; who excluded them knows those."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in plan["left"].items():
        by_reason.setdefault(reason, []).append(name)
    lines = []
    for reason, names in by_reason.items():
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        named = "" if reason in CHOSEN else f" ({', '.join(names[:NAMED])}{more})"
        lines.append(f"{len(names)} left alone: {reason}{named}")
    # What old plans say of operations alone.
    lines += [
        f"1 left alone: its channels enter {op} in {at or 'it'}"
        for op, at in plan["unknown"].items()
        if not any(reason.startswith(f"its channels enter {op} in ") for reason in by_reason)
    ]
    return lines
