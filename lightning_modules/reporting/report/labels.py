"""Likely wrong labels, as `scripts/audit_data.py STUDY` left them beside the runs."""

import csv
from dataclasses import dataclass
from pathlib import Path

from datamodules.audit import LABEL_SHEET, LABELS
from datamodules.errors import shown
from lightning_modules.errors import ConfigError
from lightning_modules.reporting.report.content import Picture, Table
from lightning_modules.runs import AUDIT

SHOWN = 20  # rows of the table
COLUMNS = {  # of the file -> of the page
    "rank": "rank",
    "path": "image",
    "given": "label",
    "suggested": "seen as",
    "self_confidence": "probability of the label",
    "suggested_confidence": "of the class seen",
}


@dataclass(frozen=True)
class LikelyWrongLabels:
    """What a page shows of them.

    Attributes:
        count: how many there are.
        file: has all of them.
        table: the likeliest.
        sheet: their pictures; None where there are none.
    """

    count: int
    file: Path
    table: Table
    sheet: Picture | None


def likely_wrong_labels(home: Path) -> LikelyWrongLabels | None:
    """Those that an audit found with the runs below a folder; None where there was no audit.

    Raises:
        ConfigError: the audit's files are damaged.
    """
    path = home / AUDIT / LABELS
    if not path.is_file():
        return None
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        found = list(csv.DictReader(file))
    if found and not COLUMNS.keys() <= found[0].keys():
        raise ConfigError(f"{path} cannot be read; run scripts/audit_data.py {home} again.")
    rows = [[shown(row[column] or "") for column in COLUMNS] for row in found[:SHOWN]]
    caption = f"The likeliest {len(rows)} of {len(found)}"
    sheet = path.with_name(LABEL_SHEET)
    words = (
        "Images whose labels are likely wrong, each with its label, the class seen and its file."
    )
    return LikelyWrongLabels(
        count=len(found),
        file=path,
        table=Table(caption, list(COLUMNS.values()), rows, frozenset({1, 2, 3})),
        sheet=Picture.of_file(sheet, words, photographs=True) if sheet.is_file() else None,
    )
