"""The record of all kills, and the table that the documentation has of it."""

import csv
import os
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path

from tests.campaign.kinds import KINDS
from tests.campaign.order import Row

BEGIN, END = "<!-- made by python -m tests.campaign --table -->", "<!-- end -->"
COLUMNS = [field.name for field in fields(Row)]


def read(file: Path) -> list[dict[str, str]]:
    """The rows of a record; none where there is no file."""
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def add(file: Path, rows: Iterable[Row]) -> None:
    """Adds the rows of one run to a record, all or none."""
    new = not file.is_file()
    with file.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
        stream.flush()
        os.fsync(stream.fileno())


def write(page: Path, rows: list[dict[str, str]]) -> None:
    """Puts the table where a page has that of before."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{summary(rows)}\n\n{markdown(rows)}\n{END}{after}")


def markdown(rows: list[dict[str, str]]) -> str:
    """Kills by scenario and kind, with what was lost and unequal; the last row and column sum up.

    A cell says only the kills where nothing was lost and nothing unequal.
    """
    scenarios = list(dict.fromkeys(row["scenario"] for row in rows))
    lines = [
        "| scenario | workers | " + " | ".join(KINDS) + " | all | lost | unequal |",
        "|---|---|" + "---:|" * (len(KINDS) + 3),
    ]
    for name in [*sorted(scenarios), None]:
        of_it = [row for row in rows if name in (None, row["scenario"])]
        workers = ", ".join(sorted({row["workers"] for row in of_it}))
        counts = [_cell([row for row in of_it if row["kind"] == kind]) for kind in KINDS]
        ends = [str(len(of_it)), str(_count(of_it, "lost")), str(_count(of_it, "unequal"))]
        lines.append("| " + " | ".join([name or "all", workers, *counts, *ends]) + " |")
    return "\n".join(lines)


def summary(rows: list[dict[str, str]]) -> str:
    """Kills, lost, unequal, tracebacks, and what a kill cost, in a line."""
    processor = sum(float(row["processor"]) for row in rows) / max(len(rows), 1)
    return (
        f"{len(rows)} kills, {_count(rows, 'lost')} lost, {_count(rows, 'unequal')} unequal; "
        f"{len({row['run'] for row in rows})} runs, {processor:.2f} processor seconds a kill, "
        f"{sum('(traceback)' in row['said'] for row in rows)} tracebacks"
    )


def _count(rows: list[dict[str, str]], column: str) -> int:
    return sum(bool(row[column]) for row in rows)


def _cell(rows: list[dict[str, str]]) -> str:
    wrong = _count(rows, "lost") + _count(rows, "unequal")
    return f"{len(rows)} (**{wrong}**)" if wrong else str(len(rows))
