"""F1 against MACs and against latency, of all runs that a report was given."""

from collections.abc import Sequence

from lightning_modules.files import read_json
from lightning_modules.reporting.closing_screen import stage_figures
from lightning_modules.reporting.pictures.tradeoff import LATENCY, Point, draw_tradeoff, front
from lightning_modules.reporting.report.content import Picture
from lightning_modules.reporting.report.finished_run import FinishedRun, name_of
from lightning_modules.reporting.report.headline import latency_words
from lightning_modules.runs.run_records import Record

AXES = {"cost/macs": "MACs of one image", "cost/latency_ms": LATENCY}
APART = (
    "Latencies of separate runs were not measured alternately, so small differences mean nothing; "
    "scripts/benchmark.py RUN... measures them alternately."
)


def tradeoffs(run: FinishedRun, records: Sequence[Record]) -> list[Picture]:
    """A picture for each cost that at least two networks have.

    Args:
        run: whose stages are shown one by one.
        records: all runs, with figures.
    """
    pictures = []
    for cost, axis in AXES.items():
        others = _others(run, records, cost)
        points = [*_stages(run, cost, {point[1:] for point in others}), *others]
        if len(points) > 1:
            pictures.append(_draw(points, axis))
    return pictures


def latency_notes(records: Sequence[Record]) -> list[str]:
    """What must be known before latencies of several runs are compared."""
    hows = [latency_words(read_json(run.folder / "metrics.json")) for run in records]
    hows = list(dict.fromkeys(how for how in hows if how))
    if len(records) < 2 or not hows:
        return []
    if len(hows) > 1:
        return [f"Latencies were measured in different ways: {'; '.join(hows)}.", APART]
    return [f"Latency: {hows[0]}.", APART]


def _stages(run: FinishedRun, cost: str, known: set[tuple[float, float]]) -> list[Point]:
    """Of the run itself, the last by the run's name; without what entered from a known run."""
    stages = stage_figures(run.steps)
    points = [
        Point(name, figures[cost], figures["val/f1"])
        for name, figures in stages[:-1]
        if cost in figures and (figures[cost], figures["val/f1"]) not in known
    ]
    if cost in run.metrics:
        points.append(Point(run.name, run.metrics[cost], run.metrics["val/f1"]))
    return points


def _others(run: FinishedRun, records: Sequence[Record], cost: str) -> list[Point]:
    return [
        Point(name_of(one.folder), one.figures[cost], one.figures["val/f1"])
        for one in records
        if one.folder != run.folder and cost in one.figures and "val/f1" in one.figures
    ]


def _draw(points: list[Point], axis: str) -> Picture:
    best = ", ".join(f"{p.name} ({p.cost:,.4g}, F1 {p.f1:.4f})" for p in front(points))
    alt = f"Macro-F1 against {axis} of {len(points)} networks. None beats, cheapest first: {best}."
    under = "the line joins those that no other beats"
    return Picture.of_figure(
        draw_tradeoff(points, title=f"macro-F1 against {axis}", under=under, cost=axis), alt
    )
