"""Cost layer by layer: of the final network, and what each step saved."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from lightning_modules.errors import USER_ERRORS
from lightning_modules.reporting.report.content import Table
from lightning_modules.reporting.report.finished_run import FinishedRun
from lightning_modules.runs import LayerRecord

if TYPE_CHECKING:  # it loads torch
    from lightning_modules.networks.overview import Row


def layer_costs(run: FinishedRun, *, trust: Iterable[str] = ()) -> Table | str:
    """MACs and parameters of each layer of the final network; else why they are not known.

    Args:
        run: its network is loaded.
        trust: packages outside this one whose networks and steps may be run.
    """
    from compression.cost import profile_network  # torch
    from compression.onnx import counted_network
    from lightning_modules.networks import load_network
    from lightning_modules.networks.overview import overview

    try:
        network = load_network(run.folder, trust=trust)
    except (*USER_ERRORS, OSError) as error:
        return f"The cost of each layer is left out, for the network does not load: {error}"
    counted = counted_network(network)
    return table_of(
        overview(counted, profile_network(counted, run.saved["image_size"]), layers=True)
    )


def table_of(rows: "Sequence[Row]") -> Table:
    """A row for each layer with MACs, one for all others that have parameters, and the sums."""
    macs, params = sum(row.macs for row in rows), sum(row.params for row in rows)
    cells = [
        [
            row.name,
            f"{row.kind} {row.arguments}".strip(),
            "" if row.shape is None else " x ".join(map(str, row.shape)),
            f"{row.params:,}",
            f"{row.macs:,}",
            f"{row.macs / max(macs, 1):.1%}",
        ]
        for row in rows
        if row.macs
    ]
    if free := [row for row in rows if row.params and not row.macs]:
        types = ", ".join(dict.fromkeys(row.kind for row in free))
        cells.append(["(without MACs)", types, "", f"{sum(r.params for r in free):,}", "0", ""])
    headings = ("layer", "what", "output", "parameters", "MACs", "share")
    last = ("all", "", "", f"{params:,}", f"{macs:,}", "100.0%")
    return Table("Layers of the final network", headings, cells, frozenset({0, 1}), last)


def savings(run: FinishedRun) -> list[tuple[Table, str]]:
    """Of each step that was measured: what it changed layer by layer, and what it left alone."""
    return [_savings(step["name"], step["layers"]) for step in run.steps if step.get("layers")]


def _savings(step: str, layers: Sequence[LayerRecord]) -> tuple[Table, str]:
    changed = [row for row in layers if row["change"] != "none"]
    rows = [
        [row["layer"], row["change"], *_cells(row["macs"], row["ms"]), row["advice"] or ""]
        for row in changed
    ]
    macs = [sum(row["macs"][i] for row in changed) for i in (0, 1)]
    ms = [sum(row["ms"][i] for row in changed) for i in (0, 1)]
    headings = ("layer", "change", "MACs", "MACs after", "ms", "ms after", "ms saved", "advice")
    last = ("changed layers", "", *_cells(macs, ms), "")
    words = frozenset({0, 1, len(headings) - 1})
    table = Table(f"{step}: milliseconds saved layer by layer", headings, rows, words, last)
    alone = [row["ms"][1] for row in layers if row["change"] == "none"]
    rest = sum(row["ms"][1] for row in layers)
    note = (
        f"Each layer was timed alone. {len(alone)} layers were left alone; they take "
        f"{sum(alone):.3g} of the {rest:.3g} ms that are left ({sum(alone) / (rest or 1):.0%})."
    )
    return table, note


def _cells(macs: Sequence[int], ms: Sequence[float]) -> list[str]:
    cells = (f"{macs[0]:,}", f"{macs[1]:,}", f"{ms[0]:.4f}", f"{ms[1]:.4f}")
    return [*cells, f"{ms[0] - ms[1]:+.4f}"]
