"""Several runs side by side: mean and spread of each configuration."""

from lightning_modules.reporting import spread_table
from lightning_modules.reporting.report.content import Table
from lightning_modules.reporting.report.finished_run import name_of
from lightning_modules.reporting.report.report_input import ReportInput
from lightning_modules.runs.summary import Row


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
    """Runs without figures, those that do not count, and what the standard error means."""
    return spread_table.notes(inputs.summary)
