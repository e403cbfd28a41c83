"""The first look: what the network reaches and costs, what it is, and how it was trained."""

from collections.abc import Iterator
from typing import NamedTuple

from lightning_modules.reporting.closing_screen import (
    AGREEMENT,
    COLUMNS,
    agreements,
    cell,
    change,
    int8_worth,
    stage_metrics,
    weights_of,
)
from lightning_modules.reporting.pictures.curves import draw_curves
from lightning_modules.reporting.report.content import Picture, Table
from lightning_modules.reporting.report.finished_run import FinishedRun
from lightning_modules.runs import StageRecord

MORE = {
    "test/f1": "macro-F1, test",
    "val/calibration_error": "calibration error",
    "val/agreement": "agreement with teachers",
    "score/macs": "score/macs",
}
BEFORE_TUNING = "macro-F1 untuned"


class Tile(NamedTuple):
    """One metric of the final network; `change` against the first stage's, or empty."""

    name: str
    value: str
    change: str


def tiles(run: FinishedRun) -> list[Tile]:
    """The metrics that a person looks at first."""
    stages = stage_metrics(run.steps)
    first, last = stages[0][1], run.metrics
    several = len(stages) > 1
    found = [
        Tile(heading, cell(key, last), change(key, first, last) if several else "")
        for key, (heading, _) in COLUMNS.items()
        if key in last
    ]
    return found + [Tile(n, f"{last[key]:.4f}", "") for key, n in MORE.items() if key in last]


def verdict(run: FinishedRun) -> str:
    """What the steps gave for what, and whether int8 pays; empty where a run only trained."""
    stages = stage_metrics(run.steps)
    if len(stages) < 2:
        return ""
    (_, first), (_, last) = stages[0], stages[-1]
    costs = [
        f"{cell(key, first)} to {cell(key, last)} {unit} ({change(key, first, last)})"
        for key, unit in (("cost/macs", "MACs"), ("cost/latency_ms", "ms"))
        if key in first and key in last
    ]
    quality = f"macro-F1 changed by {change('val/f1', first, last)}"
    summary = f"From {', from '.join(costs)}; {quality}." if costs else f"{quality}."
    worth = int8_worth(run.folder, run.metrics, run=str(run.folder))
    return summary if worth is None else f"{summary} {worth[0].upper()}{worth[1:]}"


def before_after(run: FinishedRun) -> Table:
    """A row for each stage: its metrics, and macro-F1 between its surgery and its fine-tuning."""
    stages = stage_metrics(run.steps)
    shown = [key for key in COLUMNS if any(key in metrics for _, metrics in stages)]
    untuned = [""] * (len(stages) - len(run.steps)) + [_untuned(step) for step in run.steps]
    headings = ["step", *(COLUMNS[key][0] for key in shown)]
    rows = [[name, *(cell(key, metrics) for key in shown)] for name, metrics in stages]
    last = None
    if len(stages) > 1:
        last = ["change", *(change(key, stages[0][1], stages[-1][1]) for key in shown)]
    for heading, values in ((BEFORE_TUNING, untuned), (AGREEMENT, agreements(run.steps))):
        if any(values):
            headings.append(heading)
            rows = [[*row, value] for row, value in zip(rows, values, strict=True)]
            last = None if last is None else [*last, ""]
    return Table("Before and after each step", headings, rows, last=last)


def facts(run: FinishedRun) -> Iterator[tuple[str, str]]:
    """(what, in words) of the network and of how it was made."""
    saved, metrics = run.saved, run.metrics
    classes = saved["class_names"]
    height, width = saved["image_size"]
    yield "model", str(saved["model"].get("variant") or saved["model"].get("name"))
    yield "data", str(run.config.get("data", {}).get("name", ""))
    yield f"{len(classes)} classes", ", ".join(classes)
    yield "input", f"uint8 RGB pixels, N x 3 x {height} x {width}; normalisation is inside"
    if teachers := run.config.get("teacher"):
        yield "teachers", ", ".join(teachers)
    yield "weights", weights_of(metrics)
    yield "seed", f"{metrics['seed']}; of one seed, differences of a few points may be chance"
    if "fold" in metrics:
        yield "fold", f"{metrics['fold']} of 0..{metrics['num_folds'] - 1}"
    if how := latency_words(metrics):
        spread = metrics.get("cost/latency_iqr_ms")
        yield "latency", how + (f"; interquartile range {spread:.3f} ms" if spread else "")
    yield "finished", f"{run.finished:%Y-%m-%d %H:%M}, with torch {saved.get('torch', '?')}"


def latency_words(metrics: dict) -> str:
    """How the latency of a run was measured; empty where it was not."""
    if not (how := metrics.get("latency")):
        return ""
    threads = "1 thread" if how["threads"] == 1 else f"{how['threads']} threads"
    words = f"{how['backend']}, batch {how['batch']}, {threads}, {how['device']}"
    return f"{words}; {how['instead'].rstrip('.')}" if "instead" in how else words


def _untuned(step: StageRecord) -> str:
    """After the last round's surgery; several rounds have one each."""
    surgery = step.get("surgery") or [{}]
    return f"{surgery[-1]['val/f1']:.4f}" if "val/f1" in surgery[-1] else ""


def missing(run: FinishedRun) -> list[str]:
    """What the run could not find out or make, and why, a sentence each; not of this very page."""
    parts = run.metrics.get("missing", {})
    return [f"{part} is missing: {reason}" for part, reason in parts.items() if part != "report"]


def curves(run: FinishedRun) -> Picture | None:
    """Losses and validation metrics over the epochs; None where no epoch was trained."""
    if not run.epochs:
        return None
    stages = list(dict.fromkeys(row.get("step", "") for row in run.epochs))
    best = max((row["val/f1"] for row in run.epochs if row.get("val/f1")), key=float, default="?")
    alt = (
        f"Training curves over {len(run.epochs)} epochs of {', '.join(stages)}: loss, macro-F1 and "
        f"accuracy; the highest macro-F1 on the validation split is {best}."
    )
    return Picture.of_figure(draw_curves(run.epochs, title=run.name), alt)
