"""Lists of images to leave out: written by an audit for a person to review, or by the person.

A list is a CSV with a column of paths, and where there are any of boxes and of reasons; or plain
text, one path a line.
"""

import csv
import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from datamodules.errors import DataError, shown
from datamodules.files import home_expanded, write_bytes
from datamodules.sources import Box
from datamodules.splits.listed_splits import DELIMITERS, IMAGE_COLUMNS, read_table

HEADER = ("path", "box", "reason")
MARK = "# Written by scripts/audit_data.py for review, then for data.exclude; sha256 "
LONGEST = 10  # characters of a box's corner
KEPT = "# Left out of this run: a copy of "


class Excluded(NamedTuple):
    """An image, or one box of it, that is to be left out."""

    path: str  # as it is written there
    box: Box | None = None
    reason: str = ""


def list_path(file: Any) -> Path:
    """The file that `data.exclude` names.

    Raises:
        DataError: it names none.
    """
    path = Path(home_expanded(file)) if isinstance(file, str | Path) else None
    if path is None or not path.is_file():
        raise DataError(
            f"data.exclude={file} is no file: give a CSV with a column `path`, or text with one "
            "path a line, relative to data.root."
        )
    return path


def read_list(path: Path) -> list[Excluded]:
    """All that a list names, in order.

    Raises:
        DataError: it cannot be read, or a box in it is none.
    """
    text = read_table(path, "list")
    while text.startswith((MARK, KEPT)):
        text = text.partition("\n")[2]
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(DELIMITERS, key=first.count)
    names = [re.sub(r"[\W_]+", "", cell.casefold()) for cell in first.split(delimiter)]
    column = next((name for name in IMAGE_COLUMNS if name in names), None)
    if column is None:
        return [Excluded(_unquoted(line)) for line in text.splitlines() if line.strip()]
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if any(row)]
    except csv.Error as error:
        raise DataError(f"The list {path} cannot be read ({error}).") from None
    cells = (dict(zip(names, row, strict=False)) for row in rows[1:])
    return [_excluded(row, column, path) for row in cells]


def write_list(path: Path, listed: Sequence[Excluded], *, in_use: Any = None) -> None:
    """Write a list for a person to review, whole or not at all.

    Args:
        path: the file.
        listed: what stands in it.
        in_use: the list that `data.exclude` names, whose lines are among those of the new one.

    Raises:
        DataError: `check_place` refuses the file, or it cannot be written.
    """
    check_place(path, in_use=in_use)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for one in listed:
        writer.writerow((one.path, " ".join(map(str, one.box or ())), one.reason))
    body = text.getvalue().encode("utf-8", "surrogateescape")
    write_bytes(path, _marked(body) + body)


def check_place(path: Path, *, in_use: Any = None) -> None:
    """Refuse to write over anything but a list that nobody touched, or the one in use.

    Raises:
        DataError: there is such a file.
    """
    same = in_use is not None and path.exists() and path.samefile(list_path(in_use))
    if path.exists() and not same and not is_untouched(path):
        raise DataError(
            f"{path} exists, and no audit wrote it or it was edited since: give another name with "
            "exclude=FILE."
        )


def is_untouched(path: Path) -> bool:
    """Whether an audit wrote a file, and nobody has changed it since."""
    if not path.is_file():
        return False
    first, end, body = path.read_bytes().partition(b"\n")
    return first + end == _marked(body)


def keep_list(file: Any, copy: Path) -> None:
    """Put a copy of a list into a run's folder, where later readers of the run find it.

    Raises:
        DataError: the list is none, or the copy cannot be written.
    """
    path = list_path(file)
    told = "" if is_kept(path) else f"{KEPT}{shown(str(path.resolve()))}\n"
    write_bytes(copy, told.encode() + path.read_bytes().removeprefix(b"\xef\xbb\xbf"))


def list_digest(file: Any) -> str:
    """Equal for lists that name the same images, in whatever order and with whatever reasons.

    Raises:
        DataError: the list is none.
    """
    named = sorted({(one.path, one.box or ()) for one in read_list(list_path(file))})
    return hashlib.sha256(repr(named).encode()).hexdigest()[:16]


def is_kept(path: Path) -> bool:
    """Whether a list is a run's own copy, which meets data that may have changed since."""
    return path.read_bytes().startswith(KEPT.encode())


def _marked(body: bytes) -> bytes:
    return f"{MARK}{hashlib.sha256(body).hexdigest()}\n".encode()


def _unquoted(line: str) -> str:
    text = line.strip()
    return text[1:-1].replace('""', '"') if len(text) > 1 and text[0] == text[-1] == '"' else text


def _excluded(row: Mapping[str, str], column: str, path: Path) -> Excluded:
    if column not in row:
        raise DataError(
            f"The list {path} has the line {','.join(row.values())[:80]!r} without a {column}: "
            "write it as the others, or remove it."
        )
    numbers = re.findall(r"-?\d+", row.get("box", ""))
    if len(numbers) not in (0, 4) or any(len(number) > LONGEST for number in numbers):
        raise DataError(
            f"The list {path} has the box {row['box']!r} for {row[column]}: give its four corners "
            "x0 y0 x1 y1 in pixels, or leave it empty for the whole image."
        )
    x0, y0, x1, y1 = map(int, numbers or [0] * 4)
    box = (x0, y0, x1, y1) if numbers else None
    return Excluded(row[column].strip(), box, row.get("reason", ""))
