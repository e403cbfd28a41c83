"""The file that remembers which image went to which split: a CSV that people can read and edit."""

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from datamodules.errors import DataError
from datamodules.files import written_beside

log = logging.getLogger(__name__)

HEADER = ["image", "split"]


def read_split_file(path: Path, splits: Sequence[str]) -> dict[str, str]:
    """Image -> split; empty where there is no file.

    Args:
        path: the file.
        splits: the names that may stand in it.

    Raises:
        DataError: the file has another form, another split, or an image twice.
    """
    if not path.is_file():
        return {}
    try:
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"The split file {path} cannot be read ({error}).") from None
    if not rows or rows[0] != HEADER:
        raise DataError(f"The split file {path} does not start with the line {','.join(HEADER)}.")
    split_of: dict[str, str] = {}
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != 2 or row[1] not in splits or row[0] in split_of:
            raise DataError(
                f"Line {number} of the split file {path} is {','.join(row)!r}: each image stands "
                f"there once, with one of {', '.join(splits)}."
            )
        split_of[row[0]] = row[1]
    return split_of


def write_split_file(path: Path, split_of: Mapping[str, str], *, new: bool) -> None:
    """Write the file in one piece, sorted by image.

    Args:
        path: the file.
        split_of: image -> split.
        new: whether images join those that the file had, which is said.

    Raises:
        DataError: it cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([HEADER, *sorted(split_of.items())])
    try:
        with written_beside(path) as beside:
            beside.write_text(text.getvalue(), encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"The split file {path} cannot be written ({error.strerror}): give another place with "
            "data.split.file."
        ) from error
    if new:
        log.info("New images were added to the splits in %s.", path)
