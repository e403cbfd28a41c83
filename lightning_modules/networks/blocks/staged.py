"""A network of blocks whose rows are said by stage: what an architecture search varies."""

from collections.abc import Mapping
from typing import Any

from lightning_modules.errors import ConfigError
from lightning_modules.networks.blocks.network import BlockNetwork
from lightning_modules.networks.blocks.registry import find_block_type, read_kind
from lightning_modules.schema import is_whole

# An argument of a kind by another name, and what becomes of its value.
RENAMED = {"hs": ("act", lambda act: int(str(act).lower() == "hardswish"))}


def staged_network(
    *,
    num_classes: int,
    stem: Mapping[str, Any],
    stages: Mapping[str, Mapping[str, Any]],
    head: Mapping[str, Any],
    depth_multiple: float = 1.0,
    width_multiple: float = 1.0,
) -> BlockNetwork:
    """Normalised N x 3 x H x W -> logits N x `num_classes`.

    Args:
        num_classes: outputs.
        stem, stages, head: see `stage_rows`.
        depth_multiple: factor on all repeats above 1.
        width_multiple: factor on the channels.

    Raises:
        ConfigError: says which row is wrong, and what of it.
    """
    return BlockNetwork(
        num_classes=num_classes,
        blocks=stage_rows(stem=stem, stages=stages, head=head),
        depth_multiple=depth_multiple,
        width_multiple=width_multiple,
    )


staged_network.reads_rows = True  # type: ignore[attr-defined]  # see `BlockNetwork`


def stage_rows(
    *, stem: Mapping[str, Any], stages: Mapping[str, Mapping[str, Any]], head: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The rows of `model.blocks` that stages stand for.

    Args:
        stem: `out`, `k`, `s`, `act` of the convolution that the image enters.
        stages: by name, `kind` (or `_target_`), `repeat` (0: left out) and more arguments than the
            kind takes: each kind gets its own. `act` is also an inverted residual's `hs`.
        head: `out` channels of a 1x1 convolution, `hidden` channels of another after the pooling
            (0: none), `act` of both, `dropout` before the classifier.
    """
    rows = {"stem": {"repeat": 1, "kind": "Conv", **stem}}
    for name, stage in stages.items():
        repeat = stage.get("repeat", 1)
        if not is_whole(repeat, 0):
            raise ConfigError(f"model.stages.{name}.repeat={repeat}; it must be a whole number.")
        if repeat:
            rows[str(name)] = _row(stage)
    act = head.get("act", "ReLU")
    rows["features"] = {"kind": "Conv", "out": head["out"], "k": 1, "act": act}
    rows["pool"] = {"kind": "GlobalAvgPool"}
    if head.get("hidden"):
        rows["hidden"] = {"kind": "Conv", "out": head["hidden"], "k": 1, "act": act}
    rows["flat"] = {"kind": "Flatten"}
    if head.get("dropout"):
        rows["dropout"] = {"kind": "Dropout", "p": head["dropout"]}
    rows["classifier"] = {"kind": "Linear", "out": "num_classes"}
    return rows


def arguments_of(kind: str) -> set[str]:
    """The keys of a stage that mean something to a kind, `repeat` and `kind` aside."""
    return {RENAMED.get(name, (name,))[0] for name in find_block_type(kind).parameters}


def _row(stage: Mapping[str, Any]) -> dict[str, Any]:
    kind = read_kind(stage)
    row = {"repeat": stage.get("repeat", 1), **kind.node()}
    for name in kind.parameters:
        source, convert = RENAMED.get(name, (name, lambda value: value))
        if source in stage:
            row[name] = convert(stage[source])
    return row
