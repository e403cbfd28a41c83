"""Several runs side by side: mean and spread, and F1 against MACs and against latency."""

from collections.abc import Sequence

from lightning_modules.reporting import spread_table
from lightning_modules.reporting.closing_screen import stage_metrics
from lightning_modules.reporting.pictures.tradeoff import LATENCY, Point, draw_tradeoff, front
from lightning_modules.reporting.report.content import Picture, Table
from lightning_modules.reporting.report.finished_run import FinishedRun, name_of
from lightning_modules.reporting.report.headline import latency_words
from lightning_modules.reporting.report.report_input import ReportInput
from lightning_modules.runs import Record, Row, read_metrics

AXES = {"cost/macs": "MACs of one image", "cost/latency_ms": LATENCY}
APART = (
    "Latencies of separate runs were not measured alternately, so small differences mean nothing; "
    "scripts/benchmark.py RUN... measures them alternately."
)


def compared(inputs: ReportInput) -> Table | None:
    """A row for each configuration, best first, with the names of its runs; None for one run."""
    summary = inputs.summary
    if sum(len(row.records) for row in summary.rows) < 2:
        return None
    headings, rows = spread_table.cells(summary)
    caption = spread_table.TITLE.format(objective=summary.objective)
    rows = [[_names(one), *cells] for one, cells in zip(summary.rows, rows, strict=True)]
    words = frozenset(range(len(summary.keys) + 1))
    return Table(caption[0].upper() + caption[1:], ["run", *headings], rows, words)


def _names(row: Row) -> str:
    """Of the newest run, and how many more there are."""
    records = [*row.records, *row.failed]
    more = f" and {len(records) - 1} more" if len(records) > 1 else ""
    return f"{name_of(records[0].folder)}{more}"


def notes(inputs: ReportInput) -> list[str]:
    """Runs without metrics, those that do not count, and what the standard error means."""
    return spread_table.notes(inputs.summary)


def tradeoffs(run: FinishedRun, records: Sequence[Record]) -> list[Picture]:
    """A picture for each cost that at least two networks have.

    Args:
        run: whose stages are shown one by one.
        records: all runs, with metrics.
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
    hows = [latency_words(read_metrics(run.folder)) for run in records]
    hows = list(dict.fromkeys(how for how in hows if how))
    if len(records) < 2 or not hows:
        return []
    if len(hows) > 1:
        return [f"Latencies were measured in different ways: {'; '.join(hows)}.", APART]
    return [f"Latency: {hows[0]}.", APART]


def _stages(run: FinishedRun, cost: str, known: set[tuple[float, float]]) -> list[Point]:
    """Of the run itself, the last by the run's name; without what entered from a known run."""
    stages = stage_metrics(run.steps)
    points = [
        Point(name, metrics[cost], metrics["val/f1"])
        for name, metrics in stages[:-1]
        if cost in metrics and (metrics[cost], metrics["val/f1"]) not in known
    ]
    if cost in run.metrics:
        points.append(Point(run.name, run.metrics[cost], run.metrics["val/f1"]))
    return points


def _others(run: FinishedRun, records: Sequence[Record], cost: str) -> list[Point]:
    return [
        Point(name_of(one.folder), one.metrics[cost], one.metrics["val/f1"])
        for one in records
        if one.folder != run.folder and cost in one.metrics and "val/f1" in one.metrics
    ]


def _draw(points: list[Point], axis: str) -> Picture:
    best = ", ".join(f"{p.name} ({p.cost:,.4g}, F1 {p.f1:.4f})" for p in front(points))
    alt = f"Macro-F1 against {axis} of {len(points)} networks. None beats, cheapest first: {best}."
    under = "the line joins those that no other beats"
    return Picture.of_figure(
        draw_tradeoff(points, title=f"macro-F1 against {axis}", under=under, cost=axis), alt
    )
