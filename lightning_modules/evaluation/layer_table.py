"""What a step saved layer by layer, for the log, `metrics.json` and `describe.py`."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import cast

from torch import nn

from compression.latency import LayerSaving
from compression.latency.layer_savings import layer_savings
from datamodules.screen import ScreenTable
from lightning_modules.runs import LayerRecord

log = logging.getLogger(__name__)

WORST = 4  # rows in the log
WORTH = 0.005  # of all layers' time: what a layer must miss to be among them
HEADINGS = ("layer", "change", "MACs", "ms", "advice")


def measure_layers(
    before: nn.Module, after: nn.Module, image_size: int | Sequence[int]
) -> list[LayerRecord]:
    """The rows of `layer_savings` as plain data, the worst of them messages in the log.

    Args:
        before: the network as it entered the step.
        after: what the step made of it, on the CPU or not.
        image_size: an int or [height, width] in pixels.
    """
    rows = layer_savings(before, after, image_size)
    for line in messages(rows):
        log.info(f"  {line}")
    return [cast(LayerRecord, asdict(row)) for row in rows]


def messages(rows: Sequence[LayerSaving]) -> list[str]:
    """The sums, then the layers whose time is furthest behind their MACs, each with its advice.

    Nothing where no layer changed.
    """
    if all(row.change == "none" for row in rows):
        return []
    macs = [sum(row.macs[i] for row in rows) for i in (0, 1)]
    ms = [sum(row.ms[i] for row in rows) for i in (0, 1)]
    lines = [
        f"layer by layer, each timed alone: {macs[1] / macs[0]:.0%} of the MACs, "
        f"{ms[1] / ms[0]:.0%} of the time ({ms[0]:.3g} -> {ms[1]:.3g} ms)"
    ]
    untouched = sum(row.ms[1] for row in rows if row.change == "none")
    if untouched > ms[1] / 2:
        lines.append(f"{untouched / ms[1]:.0%} of the time that is left is in layers left alone")
    behind = [r for r in rows if r.change != "none" and r.missed_ms > WORTH * ms[0]]
    behind.sort(key=lambda row: row.missed_ms, reverse=True)
    return [*lines, *(f"slow: {_line(row)}" for row in behind[:WORST])]


def table_of(step: str, rows: Sequence[LayerRecord]) -> ScreenTable:
    """All changed layers of a step, from `metrics.json`."""
    table = ScreenTable(title=f"{step}: MACs saved against milliseconds saved")
    for heading in HEADINGS:
        table.add_column(heading)
    for row in rows:
        if row["change"] != "none":
            macs, ms = row["macs"], row["ms"]
            cells = f"{macs[0]:,} -> {macs[1]:,}", f"{ms[0]:.3g} -> {ms[1]:.3g}"
            table.add_row(row["layer"], row["change"], *cells, row["advice"] or "")
    return table


def _line(row: LayerSaving) -> str:
    return (
        f"{row.layer} ({row.change}): {row.macs[1] / max(row.macs[0], 1):.0%} of its MACs, "
        f"{row.ms[1] / row.ms[0]:.0%} of its time ({row.ms[0]:.3g} -> {row.ms[1]:.3g} ms); "
        f"{row.advice or 'no known reason'}"
    )
