"""What a download ended with: the files that are there, and a list of those that are not."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from datamodules.downloads.fetching import Target
from datamodules.files import write_bytes

LIST = "missing.csv"


@dataclass(frozen=True, kw_only=True)
class Report:
    """The end of a download.

    Attributes:
        root: The data set's folder.
        total: Files that belong to it.
        fetched: Those that came by this call.
        missing: Those that could not be had -> reason.
    """

    root: Path
    total: int
    fetched: int
    missing: Mapping[Target, str] = field(default_factory=dict)


def write_missing(root: Path, missing: Mapping[Target, str]) -> None:
    """Keep `missing.csv` (file, reason, url) true; without missing files there is none.

    Raises:
        DataError: it cannot be written.
    """
    if not missing:
        (root / LIST).unlink(missing_ok=True)
        return
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("file", "reason", "url"))
    for target, reason in missing.items():
        rows.writerow((target.path.relative_to(root), reason, target.url))
    write_bytes(root / LIST, text.getvalue().encode())
