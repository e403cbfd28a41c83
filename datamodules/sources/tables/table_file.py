"""A table in a text file, however it is written: delimiter, encoding, with or without a header."""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from datamodules.errors import DataError, shown
from datamodules.sources.formats import is_image_name

DELIMITERS = (",", ";", "\t", "|", " ")
SAMPLE = 50  # rows that are looked at to know the delimiter
MAX_CELL = 2**24  # characters; tables with whole pictures in a cell are said to have no paths


@dataclass(frozen=True)
class Row:
    """A line of values.

    Attributes:
        line: of the file, from 1.
        values: one for each column, without blanks about them.
    """

    line: int
    values: tuple[str, ...]


@dataclass(frozen=True)
class TableFile:
    """What a file holds.

    Attributes:
        path: the file.
        columns: their names; of a file without a header `column 1` and so on.
        rows: all that are not blank.
        has_header: whether the names stand in the file.
        encoding: how the text was written.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    has_header: bool
    encoding: str


def read_table_file(path: Path) -> TableFile:
    """Read a table.

    Raises:
        DataError: it is absent, no text, empty, has a column twice or a row of another length.
    """
    text, encoding = _text(path)
    delimiter, text = _delimiter(text)
    rows = _rows(path, text, delimiter)
    if not rows:
        raise DataError(f"The table {path} is empty: it needs a row for each image.")
    has_header = not any(is_image_name(value) for value in rows[0].values)
    first = rows.pop(0).values if has_header else ()
    width = len(rows[0].values) if rows else len(first)
    columns = _columns(path, first) if first else tuple(f"column {n + 1}" for n in range(width))
    whole = tuple(_whole(path, row, len(columns)) for row in rows)
    if not whole:
        raise DataError(f"The table {path} has a header and no rows: it needs one for each image.")
    return TableFile(path, columns, whole, has_header, encoding)


def _text(path: Path) -> tuple[str, str]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"The table {path} cannot be read ({error.strerror or error}).") from None
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace"), "utf-16"
    if b"\0" in content or content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise DataError(
            f"The table {path} is no text: save it as a CSV file in UTF-8, or unpack it first."
        )
    for encoding in ("utf-8-sig", "cp1252"):  # the second is what spreadsheets write
        try:
            return content.decode(encoding), encoding
        except UnicodeDecodeError:
            continue
    return content.decode("latin-1"), "latin-1"  # any bytes


def _delimiter(text: str) -> tuple[str, str]:
    """The delimiter, and the text without a line that only says it."""
    said = re.match(r"sep=(.)\r?\n", text)
    if said:
        return said[1], text[said.end() :]
    sample = [line for line in text.splitlines()[: 4 * SAMPLE] if line.strip()][:SAMPLE]
    best, most = DELIMITERS[0], 1
    for delimiter in DELIMITERS:
        counts = {len(row) for row in _parsed(sample, delimiter)}
        if len(counts) == 1 and max(counts) > most:
            best, most = delimiter, max(counts)
    if most == 1 and sample:  # rows differ in length, which is refused with this delimiter
        best = max(DELIMITERS[:-1], key=lambda d: sample[0].count(d))
    return best, text


def _parsed(lines: list[str], delimiter: str) -> list[list[str]]:
    try:
        return list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
    except csv.Error:
        return []


def _rows(path: Path, text: str, delimiter: str) -> list[Row]:
    csv.field_size_limit(MAX_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    rows, line = [], 1
    try:
        for cells in reader:
            values = tuple(_cut([cell.strip() for cell in cells]))
            if any(values):
                rows.append(Row(line, values))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"Line {reader.line_num} of the table {path} is broken ({error})."
        ) from None
    return rows


def _cut(cells: list[str]) -> list[str]:
    """Without the empty cell after a delimiter at the end of each line."""
    return cells[:-1] if len(cells) > 2 and not cells[-1] else cells


def _columns(path: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    named = tuple(name or f"column {number + 1}" for number, name in enumerate(names))
    for name in named:
        if named.count(name) > 1:
            raise DataError(f"The table {path} has the column {name!r} twice: rename one.")
    return named


def _whole(path: Path, row: Row, width: int) -> Row:
    """The row with as many values as there are columns."""
    lacking = width - len(row.values)
    if lacking == 1:  # `_cut` took the last one, which is empty
        return Row(row.line, (*row.values, ""))
    if lacking:
        values = shown(", ".join(row.values))[:100]
        raise DataError(
            f"Line {row.line} of the table {path} has {len(row.values)} values where there are "
            f"{width} columns ({values}): put quotes about values that hold the delimiter."
        )
    return row
