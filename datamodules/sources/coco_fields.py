"""The fields of a COCO file that this package reads, and which values they may have."""

import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from datamodules.errors import DataError
from datamodules.schema import is_name, is_number

Id = int | str
LIMIT = 1e9  # pixels: larger figures, infinities and NaN are mistakes


class _Field(NamedTuple):
    """A field of an entry: which values it may have, in code and in words, and the default."""

    fits: Callable[[Any], bool]
    wanted: str
    default: Any = Ellipsis  # never in JSON, and fits nowhere: the field is required


def _is_number(value: Any) -> bool:
    return is_number(value) and -LIMIT < value < LIMIT


def _is_side(value: Any) -> bool:
    return _is_number(value) and value >= 1 and value == int(value)


def _is_box(value: Any) -> bool:
    return type(value) is list and len(value) == 4 and all(map(_is_number, value))


def _is_flag(value: Any) -> bool:
    return type(value) in (int, bool) and value in (0, 1)


def _is_id(value: Any) -> bool:
    return type(value) in (int, str)


def _is_id_or_none(value: Any) -> bool:
    return value is None or _is_id(value)


_ID = _Field(_is_id, "a whole number or a string")
_SIDE = _Field(_is_side, "a whole number of pixels above 0")
_NAME = _Field(is_name, "a string that can be a name")
FIELDS = {
    "images": {"id": _ID, "file_name": _NAME, "width": _SIDE, "height": _SIDE},
    "annotations": {
        "id": _ID._replace(fits=_is_id_or_none, default=None),
        "image_id": _ID,
        "category_id": _ID,
        "bbox": _Field(_is_box, "a list of four finite numbers of pixels"),
        "iscrowd": _Field(_is_flag, "0 or 1", default=0),
    },
    "categories": {"id": _ID, "name": _NAME},
}
KEPT = {*FIELDS, *(name for fields in FIELDS.values() for name in fields)}


def rows(path: Path, key: str, entries: list) -> list[list]:
    """The values of each entry's fields, in the order of `FIELDS`.

    Raises:
        DataError: an entry is no object, or lacks a field or its value is not valid.
    """
    fields = FIELDS[key].items()
    found = []
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise DataError(f"{path}: entry {number} of {key!r} is no object with fields.")
        row = [entry.get(name, field.default) for name, field in fields]
        for value, (name, field) in zip(row, fields, strict=True):
            if not field.fits(value):
                shown = "missing" if value is Ellipsis else reprlib.repr(value)
                raise DataError(
                    f"{path}: entry {number} of {key!r} has no valid {name!r} ({shown}): it must "
                    f"be {field.wanted}."
                )
        found.append(row)
    return found
