"""Rows whose kind meant another structure when a network was saved."""

import copy
from collections.abc import Collection, Iterator, Mapping
from typing import Any


def as_saved(model: Mapping[str, Any], tensors: Collection[str]) -> dict[str, Any]:
    """A saved model node with rows that give the structure whose tensors were saved.

    FusedMBConv had no 1x1 convolution where `t` is 1; such rows get `project=false`.

    Args:
        model: as the network was built from; stays as it is.
        tensors: names of the saved tensors, `body.blocks.b2.0.expand.conv.weight` and the like.
    """
    node = copy.deepcopy(dict(model))
    for name, row in _rows(node):
        prefix = f"body.blocks.{name}."
        own = [tensor for tensor in tensors if prefix in tensor]
        if own and not any(".project." in tensor for tensor in own):
            if isinstance(row, dict) and row.get("kind") == "FusedMBConv" and row.get("t") == 1:
                row["project"] = False
            elif isinstance(row, list) and row[1] == "FusedMBConv" and row[2][0] == 1:
                row[2] = [*row[2][:4], False]
    return node


def _rows(node: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The rows of a network of blocks, or of stages, with the names that its modules have."""
    for key in ("blocks", "stages"):
        rows = node.get(key)
        if isinstance(rows, dict):
            yield from rows.items()
        elif isinstance(rows, list):
            yield from ((f"b{number}", row) for number, row in enumerate(rows, start=1))
