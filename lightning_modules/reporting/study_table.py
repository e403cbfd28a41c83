"""The best trials of a study as a table, on screen and on a page."""

import itertools
from collections.abc import Sequence

from rich.console import Console

from datamodules.screen import ScreenTable
from lightning_modules.reporting.report.content import Table
from lightning_modules.reporting.study_trials import STOPPED, TrialRecord
from lightning_modules.runs import as_text

SHOWN = 10  # trials
SHOWN_METRICS = ("val/f1", "cost/macs", "cost/params", "cost/latency_ms", "score/macs")
WIDTH_OF_METRICS = 64  # characters of the table before the parameters


def best_table(
    best: Sequence[TrialRecord], objectives: Sequence[str], *, room: int | None = None
) -> Table:
    """A row for each of the best trials: its values, what else it measured, its parameters.

    Args:
        best: all of them, best first.
        objectives: their names.
        room: characters for the names of parameters; those that all have and that fit are shown.
    """
    best = best[:SHOWN]
    extra = [
        name
        for name in SHOWN_METRICS
        if name not in objectives and any(name in trial.metrics for trial in best)
    ]
    common = [name for name in best[0].params if all(name in trial.params for trial in best)][:8]
    if room is not None:
        ends = itertools.accumulate(len(name) + 3 for name in common)
        common = [name for name, end in zip(common, ends, strict=True) if end <= room]
    stopped = [STOPPED] if any(trial.stopped_after is not None for trial in best) else []
    rows = [
        [
            str(trial.number),
            *map(_number, trial.values),
            *(_number(trial.metrics[n]) if n in trial.metrics else "" for n in extra),
            *(as_text(trial.params[name]) for name in common),
            *("" if trial.stopped_after is None else str(trial.stopped_after) for _ in stopped),
        ]
        for trial in best
    ]
    title = "Pareto front" if len(objectives) > 1 else f"Best trials by {objectives[0]}"
    return Table(title, ["trial", *objectives, *extra, *common, *stopped], rows)


def show_best(best: Sequence[TrialRecord], objectives: Sequence[str]) -> None:
    """Prints that table, as wide as the terminal, and which parameters have no room in it."""
    console = Console(width=None if Console().is_terminal else 160)
    found = best_table(best, objectives, room=console.width - WIDTH_OF_METRICS)
    table = ScreenTable(title=found.caption)
    for heading in found.headings:
        table.add_column(heading, number=heading not in best[0].params)
    for row in found.rows:
        table.add_row(*row)
    table.print(console)
    if hidden := [name for name in best[0].params if name not in found.headings]:
        print(f"not shown: {', '.join(hidden)}; trials.csv has all parameters")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4f}"
