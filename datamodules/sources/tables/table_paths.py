"""Which tables a data set consists of, and the split that the name of each says."""

import re
from pathlib import Path
from typing import Any, NamedTuple

from datamodules.errors import DataError
from datamodules.sources.source import LeftOut
from datamodules.sources.split_names import split_called

ORDER = ("train", None, "val", "test")  # classes and columns are known best from the first
SUFFIXES = (".csv", ".tsv")
DUMMY = "submission"  # of competitions: labels that nobody gave


class TablePath(NamedTuple):
    """A table and the split of all its images; None where its rows say it, or nobody does."""

    path: Path
    split: str | None


class TablePaths(NamedTuple):
    """Where a data set's tables and images are."""

    root: Path
    tables: list[TablePath]
    left_out: tuple[LeftOut, ...]


def table_paths(root: str, table: Any) -> TablePaths:
    """Find the tables.

    Args:
        root: folder of the images, or the only table.
        table: path or paths, relative to the root or to the working directory; None looks for
            them in the root, then in folders of splits.

    Raises:
        DataError: there is none, or which ones are meant cannot be told.
    """
    place = Path(root)
    if place.is_file() and table is None:
        return TablePaths(place.parent, [TablePath(place, _split_of(place))], ())
    if not place.is_dir():
        raise DataError(
            f"The data folder {root} does not exist: set data.root to the folder of the images and "
            "of their table, or to the table."
        )
    if table is None:
        return _found(place)
    names = table if isinstance(table, list | tuple) else [table]
    tables = [_given(place, str(name)) for name in names]
    if not tables:
        raise DataError("data.source.table=[] names no table; give one, or null to find it.")
    return TablePaths(place, _sorted(tables), ())


def _given(root: Path, name: str) -> TablePath:
    for path in (root / name, Path(name)):
        if path.is_file():
            return TablePath(path, _split_of(path))
    raise DataError(
        f"The table {root / name} does not exist: give data.source.table relative to data.root."
    )


def _found(root: Path) -> TablePaths:
    tables = _tables_in(root)
    real = [table for table in tables if DUMMY not in table.path.stem.casefold()]
    if len(real) > 1:
        named = [table for table in real if table.split is not None]
        if "train" in {table.split for table in named}:
            real = named
    if not real:
        real = [
            TablePath(table.path, split)
            for folder in sorted(path for path in root.iterdir() if path.is_dir())
            if (split := split_called(folder.name)) is not None
            for table in _tables_in(folder)
        ]
    if not real:
        raise DataError(
            f"{root} holds no table ({', '.join(SUFFIXES)}): give one that lists each image and "
            "its class by data.source.table=..."
        )
    splits = [table.split for table in real]
    if len(real) > 1 and (None in splits or len(set(splits)) < len(splits)):
        raise DataError(
            f"{root} holds several tables ({', '.join(t.path.name for t in real)}): name the ones "
            "to read by data.source.table=[...]; names such as train.csv and val.csv are splits."
        )
    others = [table.path.name for table in tables if table not in real]
    left_out = (LeftOut("tables of other names", len(others), others[0]),) if others else ()
    return TablePaths(root, _sorted(real), left_out)


def _tables_in(folder: Path) -> list[TablePath]:
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    return [TablePath(p, _split_of(p)) for p in files if p.is_file() and p.name[0] != "."]


def _sorted(tables: list[TablePath]) -> list[TablePath]:
    return sorted(tables, key=lambda table: ORDER.index(table.split))


def _split_of(path: Path) -> str | None:
    """`train` of `train.csv`, `labels_train.csv`; None of `labels.csv` and `train_val.csv`."""
    found = {split_called(word) for word in re.split(r"[\W_]+", path.stem)} - {None}
    return found.pop() if len(found) == 1 else None
