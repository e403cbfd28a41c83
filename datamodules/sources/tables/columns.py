"""Which column of a table is what: as the user says, else by its name, else by its values."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from datamodules.errors import DataError
from datamodules.sources.formats import is_image_name
from datamodules.sources.split_names import split_called
from datamodules.sources.tables.table_file import TableFile

# In the order in which they are believed, without case, blanks and what joins words.
_PATHS = """
    path filepath imagepath imgpath relativepath filename imagefilename imagefile imgfile imagename
    imgname image images img imgs photo picture file files name imageid imgid fileid idcode id uid
    uuid isicid
"""
_LABELS = """
    label labels class classes classname classlabel labelname category categories categoryname
    target targets groundtruth y species breed diagnosis dx tag classid labelid categoryid
"""
_SPLITS = """
    split splits set subset partition phase usage datasplit splitname traintest
"""
PATH_NAMES, LABEL_NAMES, SPLIT_NAMES = _PATHS.split(), _LABELS.split(), _SPLITS.split()
# fastai's and others': true is this split, false is train.
FLAG_NAMES = {"isvalid": "val", "isval": "val", "isvalidation": "val", "istest": "test"}
TRUE, FALSE = ("true", "1", "1.0", "yes"), ("false", "0", "0.0", "no", "")
MAX_SHOWN = 12  # columns that a sentence names


@dataclass(frozen=True)
class Columns:
    """The columns of a table by what they are for, as positions.

    Attributes:
        path: of the images.
        label: of the classes; None where there are none, or `one_hot` says them.
        split: of the splits, or of flags.
        flag: the split that `split` says true or false of.
        one_hot: a column for each class, with 1 in one of them.
        further: all others.
    """

    path: int
    label: int | None
    split: int | None
    flag: str | None
    one_hot: tuple[int, ...]
    further: tuple[int, ...]


def find_columns(
    table: TableFile,
    *,
    path: str | None = None,
    label: str | None = None,
    split: str | None = None,
    labelled: bool = True,
) -> Columns:
    """Tell the columns of a table.

    Args:
        table: the table.
        path: name of the column of the images; None finds it.
        label: the same of the classes.
        split: the same of the splits.
        labelled: look for classes at all.

    Raises:
        DataError: a named column is absent, or one cannot be told.
    """
    free = dict(enumerate(table.columns))
    of_path = _taken(free, _named(table, "path", path))
    of_label = _taken(free, _named(table, "label", label))
    of_split = _taken(free, _named(table, "split", split))
    if of_path is None:
        of_path = _path(free, table)
        del free[of_path]
    if of_split is None:
        of_split = _taken(free, _split(free, table))
    one_hot: tuple[int, ...] = ()
    if labelled and of_label is None:
        of_label = _taken(free, _called(free, LABEL_NAMES))
    if labelled and of_label is None:
        one_hot = _one_hot(free, table)
        for position in one_hot:
            del free[position]
    if labelled and of_label is None and not one_hot and free:
        of_label = _taken(free, _only(free, table))
    flag = None if of_split is None else FLAG_NAMES.get(_plain(table.columns[of_split]))
    return Columns(of_path, of_label, of_split, flag, one_hot, tuple(free))


def one_hot_label(table: TableFile, line: int, values: Sequence[str], columns: Columns) -> str:
    """The name of the only column that holds a 1; empty where none does.

    Raises:
        DataError: several do.
    """
    names = [table.columns[n] for n in columns.one_hot if values[n].casefold() in TRUE]
    if len(names) > 1:
        raise DataError(
            f"Line {line} of {table.path} gives one image the classes {' and '.join(names)}: only "
            "one class an image can be learnt; leave out the rows of several, or make a column "
            "of one class a row and name it by data.source.label_column=..."
        )
    return names[0] if names else ""


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def _taken(free: dict[int, str], position: int | None) -> int | None:
    """The position, which is not free any more."""
    if position is not None:
        free.pop(position, None)
    return position


def _named(table: TableFile, key: str, name: str | None) -> int | None:
    if name is None:
        return None
    if name not in table.columns:
        raise DataError(
            f"data.source.{key}_column={name} is no column of {table.path}; there are "
            f"{_shown(table)}."
        )
    return table.columns.index(name)


def _called(free: dict[int, str], names: Sequence[str]) -> int | None:
    """The first of the free columns in the order of `names`."""
    found = {_plain(name): position for position, name in reversed(free.items())}
    return next((found[name] for name in names if name in found), None)


def _path(free: dict[int, str], table: TableFile) -> int:
    """The column of the usual name, else the only one whose values are names of image files."""
    found = _called(free, PATH_NAMES)
    if found is None:
        images = [n for n in free if all(is_image_name(row.values[n]) for row in table.rows)]
        found = images[0] if len(images) == 1 else None
    if found is None:
        raise DataError(
            f"No column of {table.path} is known to list the images: name it by "
            f"data.source.path_column=...; there are {_shown(table)}."
        )
    return found


def _only(free: dict[int, str], table: TableFile) -> int:
    """The column that is left."""
    if len(free) > 1:
        raise DataError(
            f"No column of {table.path} is known to hold the classes: name it by "
            f"data.source.label_column=...; there are {_shown(table)}."
        )
    return next(iter(free))


def _split(free: dict[int, str], table: TableFile) -> int | None:
    flags = _called(free, tuple(FLAG_NAMES))
    if flags is not None and not _values(table, flags) <= {*TRUE, *FALSE}:
        flags = None
    found = _called(free, SPLIT_NAMES)
    if found is None and not table.has_header:
        words = [n for n in free if all(map(split_called, _values(table, n)))]
        found = words[0] if len(words) == 1 else None
    return flags if found is None else found


def _one_hot(free: dict[int, str], table: TableFile) -> tuple[int, ...]:
    """The free columns of zeros and ones, if they can be a class each."""
    numbers = {*TRUE, *FALSE} - {""}
    found = tuple(n for n in free if _values(table, n) <= numbers)
    if len(found) < 2:
        return ()
    exact = all(sum(row.values[n].casefold() in TRUE for n in found) == 1 for row in table.rows)
    return found if exact or len(found) == len(free) else ()


def _values(table: TableFile, position: int) -> set[str]:
    return {row.values[position].casefold() for row in table.rows}


def _shown(table: TableFile) -> str:
    names = ", ".join(table.columns[:MAX_SHOWN])
    more = len(table.columns) - MAX_SHOWN
    return f"{names} and {more} more" if more > 0 else names
