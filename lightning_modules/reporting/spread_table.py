"""The summary of repeated runs as a table: on screen, in Markdown, as CSV."""

import csv
import io
from pathlib import Path

from rich.console import Console

from datamodules.screen import ScreenTable
from lightning_modules.files import write_text
from lightning_modules.reporting.closing_screen import COLUMNS
from lightning_modules.runs import METRICS, Row, Spread, Summary, as_text

TITLE = "mean (sd) over seeds and folds, best {objective} first"
STANDARD_ERROR = "se is sd / sqrt(runs); folds share training images, so over folds it is too small"


def cells(summary: Summary) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of what a person reads: the objective in full, the rest in short."""
    rest = [key for key in summary.metrics if key in METRICS and key != summary.objective]
    counts = ["runs", "seeds", *_where(summary, "folds"), *_where(summary, "failed")]
    headings = [*summary.keys, *counts, summary.objective, "sd", "se", "min", "max", *rest]
    rows = [
        [
            *(as_text(row.settings.get(key, "")) for key in summary.keys),
            *(str(_counts(row)[name]) for name in counts),
            *_in_full(summary.objective, row.spread(summary.objective)),
            *(_in_short(key, row.spread(key)) for key in rest),
        ]
        for row in summary.rows
    ]
    return headings, rows


def show(summary: Summary) -> None:
    """Prints the table, and below it what has no place in it."""
    headings, rows = cells(summary)
    table = ScreenTable(title=TITLE.format(objective=summary.objective))
    for heading in headings:
        table.add_column(heading, number=heading not in summary.keys)
    for row in rows:
        table.add_row(*row)
    console = Console(width=None if Console().is_terminal else 200)
    console.print()
    if rows:
        table.print(console)
    for line in notes(summary):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def notes(summary: Summary) -> list[str]:
    """The lines below the table: trials that failed, runs that do not count, what se means."""
    lines = [f"failed   {line}" for line in summary.failures]
    lines += [f"note     {line}" for line in summary.remarks]
    if any(row.folds for row in summary.rows):
        lines.append(f"note     {STANDARD_ERROR}")
    return lines


def to_markdown(summary: Summary, title: str) -> str:
    """The same table as a Markdown document."""
    headings, rows = cells(summary)
    marks = ["---" if heading in summary.keys else "---:" for heading in headings]
    lines = [f"| {' | '.join(map(_escaped, row))} |" for row in [headings, marks, *rows]]
    caption = TITLE.format(objective=summary.objective)
    return "\n".join([f"# {title}", "", f"{caption[0].upper()}{caption[1:]}.", "", *lines, ""]) + (
        "".join(f"\n- {_escaped(line)}" for line in notes(summary)) + "\n"
    )


def to_csv(summary: Summary) -> str:
    """Everything, unrounded: a row for each configuration, six columns for each metric."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    parts = ("", " sd", " se", " min", " max", " n")
    headings = [f"{metric}{part}" for metric in summary.metrics for part in parts]
    writer.writerow([*summary.keys, "runs", "seeds", "folds", "failed", *headings, "failures"])
    strays = [Row({}, (), summary.strays, repetitions=0)] if summary.strays else []
    for row in [*summary.rows, *strays]:
        settings = [_exact(row.settings.get(key, "")) for key in summary.keys]
        found = [row.spread(metric) for metric in summary.metrics]
        values = [value for one in found for value in (_values(one) if one else [""] * 6)]
        reasons = "; ".join(f"{run.name}: {run.failure}" for run in row.failed)
        writer.writerow([*settings, *_counts(row).values(), *values, reasons])
    return file.getvalue()


def write(summary: Summary, folder: Path) -> None:
    """Leaves `summary.csv` and `summary.md` in a study's directory."""
    write_text(folder / "summary.csv", to_csv(summary))
    write_text(folder / "summary.md", to_markdown(summary, folder.name))


def _counts(row: Row) -> dict[str, int]:
    runs, failed = len(row.records), len(row.failed)
    return {"runs": runs, "seeds": row.seeds, "folds": row.folds, "failed": failed}


def _where(summary: Summary, count: str) -> list[str]:
    return [count] if any(_counts(row)[count] for row in summary.rows) else []


def _number(metric: str, value: float | None) -> str:
    return "" if value is None else COLUMNS.get(metric, (metric, "{:.4f}"))[1].format(value)


def _in_full(metric: str, found: Spread | None) -> list[str]:
    if found is None:
        return [""] * 5
    values = (found.mean, found.sd, found.se, found.minimum, found.maximum)
    return [_number(metric, value) for value in values]


def _in_short(metric: str, found: Spread | None) -> str:
    if found is None:
        return ""
    mean = _number(metric, found.mean)
    return f"{mean} ({_number(metric, found.sd)})" if found.sd else mean


def _values(found: Spread) -> list[float | str]:
    values = (found.mean, found.sd, found.se, found.minimum, found.maximum, found.n)
    return ["" if value is None else value for value in values]


def _exact(value: object) -> str:
    return repr(value) if isinstance(value, float) else as_text(value)


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
