"""Reading tables into an index: their images found, their classes and splits understood."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from datamodules.errors import DataError
from datamodules.sources.omissions import Omissions
from datamodules.sources.source import Index, Item
from datamodules.sources.split_names import split_called
from datamodules.sources.tables.columns import TRUE, Columns, find_columns, one_hot_label
from datamodules.sources.tables.labels import classes_of, same_but_for_case
from datamodules.sources.tables.listed_images import Ambiguous, ListedImages
from datamodules.sources.tables.table_file import Row, TableFile, read_table_file
from datamodules.sources.tables.table_paths import TablePath, table_paths

PREDICT = ("predict", "prediction", "unlabelled", "unlabeled")


class Listed(NamedTuple):
    """A row whose image was found.

    Attributes:
        path: of the image.
        group: the path relative to the root.
        label: what the table says of its class; empty where it says nothing.
        split: `train`, `val`, `test` or `predict`; None where nobody says it.
        listed: what the table says of its path.
        line: the table and the line.
        further: column -> value, of the columns that are for something else.
    """

    path: str
    group: str
    label: str
    split: str | None
    listed: str
    line: str
    further: dict[str, str]


class TableReading:
    """One reading of the tables of a data set; the arguments are those of `Table`."""

    def __init__(
        self,
        *,
        root: str,
        table: object,
        path_column: str | None,
        label_column: str | None,
        split_column: str | None,
        missing: str,
    ) -> None:
        self.paths = table_paths(root, table)
        self.missing = missing
        self.split_column = split_column
        self.images = ListedImages(self.paths.root)
        self._omissions = Omissions()
        self._absent: list[tuple[str, str]] = []  # what was listed, and where
        self._notes: list[str] = []
        # As the user says, else as the first table has them, which the others may lack.
        self._said = {path_column, label_column} - {None}
        self._path_column, self._label_column = path_column, label_column

    def index(self) -> Index:
        """All that the tables list.

        Raises:
            DataError: a table cannot be understood, or an image is absent or listed in two ways.
        """
        rows = [row for table in self.paths.tables for row in self._rows_of(table)]
        self._handle_absent(len(rows))
        rows = sorted(self._each_once(rows), key=lambda row: row.group)
        classes = self._classes(rows)
        names = tuple(dict.fromkeys(classes.values()))
        splits: dict[str, list[Item]] = defaultdict(list)
        for row, split in self._split(rows):
            label = -1 if split == "predict" else names.index(classes[row.label])
            splits[split].append(Item(row.path, label, None, row.group))
        columns: dict[str, dict[str, str]] = defaultdict(dict)
        for row in rows:
            for column, value in row.further.items():
                columns[column][row.group] = value
        return Index(
            class_names=names,
            splits=dict(splits),
            left_out=(*self.paths.left_out, *self._omissions.left_out()),
            notes=tuple(self._notes),
            columns=dict(columns),
        )

    def _rows_of(self, at: TablePath) -> Iterator[Listed]:
        """The rows of a table whose images are there."""
        table = read_table_file(at.path)
        columns = self._columns(table, at.split)
        self._note_columns(table, columns)
        for row in table.rows:
            listed = row.values[columns.path]
            if not listed:
                self._omissions.add("rows without an image", _line(table, row))
                continue
            split = _split_of(table, row, columns) or at.split
            path = self._find(table, row, listed, split)
            if path is not None:
                yield Listed(
                    path=path,
                    group=Path(os.path.relpath(path, self.paths.root)).as_posix(),
                    label=_label_of(table, row, columns),
                    split=split,
                    listed=listed,
                    line=_line(table, row),
                    further={table.columns[n]: row.values[n] for n in columns.further},
                )

    def _columns(self, table: TableFile, split: str | None) -> Columns:
        """The columns; a table of a test may lack the classes that the first has."""
        expected = {*table.columns, *self._said}
        path = self._path_column if self._path_column in expected else None
        label = self._label_column if self._label_column in expected else None
        unlabelled = split == "test" and self._label_column not in (None, *table.columns)
        columns = find_columns(
            table,
            path=path,
            label=None if unlabelled else label,
            split=self.split_column,
            labelled=not unlabelled,
        )
        self._path_column = self._path_column or table.columns[columns.path]
        if columns.label is not None:
            self._label_column = self._label_column or table.columns[columns.label]
        return columns

    def _note_columns(self, table: TableFile, columns: Columns) -> None:
        said = [f"images in {table.columns[columns.path]!r}"]
        if columns.label is not None:
            said.append(f"classes in {table.columns[columns.label]!r}")
        if columns.one_hot:
            said.append(f"a class in each of {len(columns.one_hot)} columns of 0 and 1")
        if columns.split is not None:
            said.append(f"splits in {table.columns[columns.split]!r}")
        further = [table.columns[n] for n in columns.further]
        said += [f"not used: {', '.join(map(repr, further))}"] if further else []
        if not table.encoding.startswith("utf"):
            said.append(f"read as {table.encoding}, for it is no UTF-8")
        self._notes.append(f"{table.path.name} has {', '.join(said)}")

    def _find(self, table: TableFile, row: Row, listed: str, split: str | None) -> str | None:
        try:
            path = self.images.find(
                listed, beside=table.path.parent, split=split, encoding=table.encoding
            )
        except Ambiguous as found:
            raise DataError(
                f"{_line(table, row)} lists {listed!r}, which can be {found} in "
                f"{self.images.root}: give its path."
            ) from None
        if path is None:
            self._absent.append((listed, _line(table, row)))
        return path

    def _handle_absent(self, found: int) -> None:
        if not self._absent:
            return
        listed, line = self._absent[0]
        if self.missing == "refuse" or not found:
            raise DataError(
                f"{len(self._absent)} of {found + len(self._absent)} listed images are not in "
                f"{self.images.root}, first {listed!r} ({line}): put them there, correct their "
                "paths, or leave them out by data.source.missing=skip."
            )
        self._omissions.add("listed images not there", listed, len(self._absent))

    def _each_once(self, rows: list[Listed]) -> Iterator[Listed]:
        first: dict[str, Listed] = {}
        for row in rows:
            other = first.setdefault(row.path, row)
            if other is row:
                yield row
            elif (row.label, row.split) == (other.label, other.split):
                self._omissions.add("images listed again in the same way", row.listed)
            else:
                raise DataError(
                    f"{row.path} is listed in two ways: as {_as(other)} and as {_as(row)}; keep "
                    "one of them (boxes in one image are read from COCO files, by data=coco)."
                )
        if self.images.searched:
            listed, path = next(iter(self.images.searched.items()))
            self._notes.append(
                f"{len(self.images.searched)} of {len(first)} images were found below "
                f"{self.images.root} by the ends of their listed paths (the first: {listed} is "
                f"{os.path.relpath(path, self.images.root)})"
            )

    def _classes(self, rows: list[Listed]) -> dict[str, str]:
        """What the table says -> the class, in their order."""
        labels = [row.label for row in rows if row.label and row.split != "predict"]
        first = self.paths.tables[0].path
        if not labels:
            raise DataError(f"The table {first} gives no image a class: there is nothing to learn.")
        classes = classes_of(first, self._label_column or "of classes", labels)
        if pairs := same_but_for_case(classes.values()):
            self._notes.append(f"classes that differ only in case are different: {pairs[0]}")
        return classes

    def _split(self, rows: list[Listed]) -> Iterator[tuple[Listed, str]]:
        """The rows that are used, each with its split."""
        said = Counter(row.split for row in rows)
        train = "train" if said["val"] else "unsplit"
        if said[None] and said["val"] and not said["train"]:
            self._notes.append(f"the {said[None]} images without a split are trained on")
            said[None] = 0
        for row in rows:
            if row.split == "predict" or (row.split == "test" and not row.label):
                yield row, "predict"
            elif not row.label:
                self._omissions.add("images without a class", row.listed)
            elif row.split is None and said[None] and said["val"]:
                self._omissions.add("images without a split, where others have one", row.listed)
            else:
                yield row, train if row.split in ("train", None) else row.split


def _split_of(table: TableFile, row: Row, columns: Columns) -> str | None:
    if columns.split is None or not row.values[columns.split]:
        return None
    value = row.values[columns.split]
    if columns.flag is not None:
        return columns.flag if value.casefold() in TRUE else "train"
    split = "predict" if value.casefold() in PREDICT else split_called(value)
    if split is None:
        raise DataError(
            f"{_line(table, row)} has {value!r} in {table.columns[columns.split]!r}, which is no "
            "split: write train, val, test or predict there, or nothing; or name another column "
            "by data.source.split_column=..."
        )
    return split


def _label_of(table: TableFile, row: Row, columns: Columns) -> str:
    if columns.label is not None:
        return row.values[columns.label]
    return one_hot_label(table, row.line, row.values, columns) if columns.one_hot else ""


def _line(table: TableFile, row: Row) -> str:
    return f"line {row.line} of {table.path}"


def _as(row: Listed) -> str:
    parts = [repr(row.label) if row.label else "nothing", *([row.split] if row.split else [])]
    return f"{', '.join(parts)} ({row.line})"
