"""The folder that a data set is downloaded into: where, by whom, and what it lacks at the end."""

import contextlib
import csv
import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from datamodules.downloads.fetching import Target
from datamodules.errors import DataError, unwritable
from datamodules.files import write_bytes

MISSING_LIST = "missing.csv"


def default_root(name: str) -> Path:
    """Where `conf/data/NAME.yaml` looks for it: in `data/`, or wherever MODEL_DIET_DATA points."""
    return Path(os.environ.get("MODEL_DIET_DATA", "data")) / name


@contextlib.contextmanager
def sole_writer(root: Path) -> Iterator[None]:
    """Make the folder, and keep other downloads out of it meanwhile; a killed one does not.

    Raises:
        DataError: another download is at work there, or it cannot be written.
    """
    from filelock import FileLock, Timeout

    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(root / ".download.lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise DataError(
            f"Another download into {root} is running: wait for its end, or stop it."
        ) from None
    except OSError as error:
        raise unwritable(root, error) from error
    try:
        yield
    finally:
        lock.release()


@dataclass(frozen=True, kw_only=True)
class Report:
    """The end of a download.

    Attributes:
        root: the data set's folder.
        total: files that belong to it.
        fetched: those that came by this call.
        missing: those that could not be had -> reason.
        what: what the files are.
    """

    root: Path
    total: int
    fetched: int
    missing: Mapping[Target, str] = field(default_factory=dict)
    what: str = "images"


def write_missing(root: Path, missing: Mapping[Target, str]) -> None:
    """Keep `missing.csv` (file, reason, url) true; without missing files there is none.

    Raises:
        DataError: it cannot be written.
    """
    if not missing:
        (root / MISSING_LIST).unlink(missing_ok=True)
        return
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("file", "reason", "url"))
    for target, reason in missing.items():
        rows.writerow((target.path.relative_to(root), reason, target.url))
    write_bytes(root / MISSING_LIST, text.getvalue().encode())
