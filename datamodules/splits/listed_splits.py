"""A user's own file of splits: a table of images and where they go, in whatever spelling."""

import csv
import io
import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from datamodules.errors import DataError, shown
from datamodules.sources.split_names import split_called

DELIMITERS = ",;\t|"
# What the columns are called, in small letters and without what stands between words.
IMAGE_COLUMNS = (
    "image", "imagepath", "path", "filepath", "relativepath", "file", "filename", "imagefile",
    "imagefilename", "imagename", "img", "imgpath", "imgname", "images", "files", "paths", "photo",
    "picture", "uri", "imageid", "name", "id",
)  # fmt: skip
SPLIT_COLUMNS = (
    "split", "splits", "set", "subset", "partition", "datasplit", "dataset", "usage", "phase",
    "part", "group",
)  # fmt: skip


class ListedImage(NamedTuple):
    """A line of the table."""

    line: int
    name: str  # of the image, as it is written
    split: str | None  # None where the cell is empty
    cells: Mapping[str, str]  # what else the line says, by column


def read_listed_splits(path: Path) -> list[ListedImage]:
    """The lines of a table of images and splits.

    Commas, semicolons, tabs or bars divide it; the columns are found by their names, or without a
    header by what stands in them. Further columns are kept.

    Raises:
        DataError: it is no such table, or a line of it has another form or an unknown split.
    """
    text = read_table(path, "split file")
    for delimiter in DELIMITERS:
        rows = _rows(path, text, delimiter)
        columns = _columns([row for _, row in rows])
        if columns is not None and len(rows) > columns.has_header:
            return [_listed(path, row, n, columns) for n, row in rows[columns.has_header :]]
    raise DataError(
        f"The split file {path} is not understood: give it a line image,split and then one line "
        "for each image, as in cat/1.jpg,train."
    )


class _Columns(NamedTuple):
    image: int
    split: int
    names: list[str]  # of all columns
    has_header: bool


def _columns(rows: Sequence[Sequence[str]]) -> _Columns | None:
    """Which columns hold the images and the splits; None where that is not clear."""
    if not rows or len(rows[0]) < 2:
        return None
    first, width = rows[0], len(rows[0])
    words = [re.sub(r"[\W_]+", "", cell.casefold()) for cell in first]
    body = [row for row in rows[1:] if len(row) >= width]
    splits = [words.index(name) for name in SPLIT_COLUMNS if name in words]
    # A column called `dataset` or `group` may hold something else.
    splits = [n for n in splits if any(split_called(row[n]) for row in body)] or splits[:1]
    has_header = bool(splits) and split_called(first[splits[0]]) is None
    if not has_header:
        body = [row for row in rows if len(row) >= width]
        splits = [n for n in range(width) if all(split_called(row[n]) for row in body)]
        if not splits:  # a header of other words?
            body = body[1:]
            splits = [n for n in range(width) if body and all(split_called(r[n]) for r in body)]
            has_header = bool(splits)
    if not splits or not (body or has_header):
        return None
    split = splits[0]
    images = [words.index(name) for name in IMAGE_COLUMNS if has_header and name in words]
    images = [n for n in images if n != split]
    if not images:  # the first that tells its lines apart
        images = [n for n in range(width) if n != split and _is_distinct(body, n)]
    return _Columns(images[0], split, list(first), has_header) if images else None


def _is_distinct(rows: Sequence[Sequence[str]], column: int) -> bool:
    cells = [row[column] for row in rows]
    # Not numbers of lines, as pandas writes them.
    return len(set(cells)) == len(cells) and not all(cell.isdigit() for cell in cells)


def _listed(path: Path, row: list[str], line: int, columns: _Columns) -> ListedImage:
    while len(row) > len(columns.names) and not row[-1]:
        row.pop()
    if len(row) != len(columns.names):
        raise DataError(
            f"Line {line} of the split file {path} has {len(row)} cells where the first has "
            f"{len(columns.names)}: {shown(','.join(row))}; quote names that hold the delimiter."
        )
    name, word = row[columns.image], row[columns.split]
    split = split_called(word)
    if not name or (word and split is None):
        raise DataError(
            f"Line {line} of the split file {path} is {shown(','.join(row))!r}: each line names an "
            "image and train, val or test."
        )
    cells = dict(zip(columns.names, row, strict=True)) if columns.has_header else {}
    return ListedImage(line, name, split, cells)


def _rows(path: Path, text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """The lines that hold something, with their numbers; remarks before the first are left out."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise DataError(f"The split file {path} cannot be read ({error}).") from None
    remarks = itertools.takewhile(lambda row: row[1][0].startswith(("#", "sep=")), rows)
    return rows[len(list(remarks)) :]


def read_table(path: Path, what: str) -> str:
    """The text of a table that a person wrote, in whatever encoding.

    Args:
        path: the file.
        what: what it is called in a refusal.

    Raises:
        DataError: it cannot be read, or is no text.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"The {what} {path} cannot be read ({error.strerror}).") from None
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))  # as Excel writes "Unicode text"
    # Names of files may hold bytes that are not UTF-8.
    text = content.decode(*(("utf-16", "replace") if wide else ("utf-8-sig", "surrogateescape")))
    if "\0" in text or (wide and "\ufffd" in text):
        raise DataError(f"The {what} {path} cannot be read (it holds no text).")
    return text
