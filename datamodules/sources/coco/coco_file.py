"""Reading a COCO annotation file, with a sentence for everything that is wrong with it."""

import json
import os
import reprlib
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from datamodules.errors import DataError
from datamodules.schema import is_name, is_number

Id = int | str
LIMIT = 1e9  # pixels: larger numbers, infinities and NaN are mistakes


class CocoImage(NamedTuple):
    """A listed image: its file name, normalised and relative to the root, and its size in pixels.

    What a file that is not read strictly leaves open: the name may lead anywhere, and both sides
    may be None.
    """

    id: Id
    name: str
    width: int | None
    height: int | None


class CocoBox(NamedTuple):
    """A box (x, y, width, height in pixels) of one category."""

    id: Id | None
    image_id: Id
    category_id: Id
    bbox: tuple[float, float, float, float]
    crowd: bool


@dataclass(frozen=True)
class CocoFile:
    """What this package reads of an annotation file; ids of images and categories are unique."""

    images: list[CocoImage]
    boxes: list[CocoBox]
    categories: dict[Id, str]


class _Field(NamedTuple):
    """A field of an entry: which values it may have, in code and in words, and the default."""

    fits: Callable[[Any], bool]
    wanted: str
    default: Any = Ellipsis  # never in JSON, and fits nowhere: the field is required


def _is_number(value: Any) -> bool:
    return is_number(value) and -LIMIT < value < LIMIT


def _is_side(value: Any) -> bool:
    return _is_number(value) and value >= 1 and value == int(value)


def _is_side_or_none(value: Any) -> bool:
    return value is None or _is_side(value)


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
_OPEN_SIDE = _SIDE._replace(fits=_is_side_or_none, default=None)
OPEN_FIELDS = {**FIELDS, "images": {**FIELDS["images"], "width": _OPEN_SIDE, "height": _OPEN_SIDE}}
KEPT = {*FIELDS, *(name for fields in FIELDS.values() for name in fields)}


def read_coco(path: Path, how_to_get: str = "", *, strict: bool = True) -> CocoFile:
    """Read the images, boxes and categories, and nothing else (polygons take most of such files).

    Args:
        path: the annotation file.
        how_to_get: sentence for a user who has no such data yet.
        strict: refuse images without a size and names that lead out of the folder; else both are
            left to be found among the files.

    Raises:
        DataError: the file is absent, not JSON, not COCO, or lists images outside its folder.
    """
    content = _read_json(path, how_to_get)
    values = {}
    for key in FIELDS:
        entries = content.get(key) if isinstance(content, dict) else None
        if not isinstance(entries, list):
            raise DataError(f"{path} is not a COCO detection file: it has no list {key!r}.")
        fields = FIELDS if strict else OPEN_FIELDS
        values[key] = rows(path, key, entries, fields[key])
    _require_unique(path, "image id", (row[0] for row in values["images"]))
    _require_unique(path, "category id", (row[0] for row in values["categories"]))
    listed = [row[1] for row in values["images"]]
    names = inside_root(path, listed) if strict else normalized_names(path, listed)
    _require_unique(path, "image file", names)
    images = [
        CocoImage(id, name, *_sides(width, height))
        for name, (id, _, width, height) in zip(names, values["images"], strict=True)
    ]
    boxes = [
        CocoBox(id, image_id, category_id, (x, y, width, height), bool(crowd))
        for id, image_id, category_id, (x, y, width, height), crowd in values["annotations"]
    ]
    file = CocoFile(images, boxes, dict(values["categories"]))
    _require_known_categories(path, file)
    return file


def _sides(width: float | None, height: float | None) -> tuple[int, int] | tuple[None, None]:
    """Both, or neither: half a size says nothing."""
    return (None, None) if width is None or height is None else (int(width), int(height))


def _read_json(path: Path, how_to_get: str) -> Any:
    try:
        if path.is_file():
            return json.loads(path.read_text("utf-8-sig"), object_hook=_read_fields)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"The annotation file {path} cannot be read ({reason}).") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"The annotation file {path} is not JSON ({error}).") from None
    raise DataError(
        f"The annotation file {path} does not exist: the expected tree is root/{path.name} and "
        f"the images it lists, relative to root. {how_to_get}".strip()
    )


def _read_fields(entry: dict[str, Any]) -> dict[str, Any]:
    # While the file is read: what is dropped here never piles up in memory.
    return {key: value for key, value in entry.items() if key in KEPT}


def _require_unique(path: Path, what: str, values: Iterable[Hashable]) -> None:
    first: dict[Hashable, int] = {}
    for number, value in enumerate(values):
        if first.setdefault(value, number) != number:
            raise DataError(
                f"{path} has the {what} {value!r} twice (entries {first[value]} and {number}): "
                "give each its own, or merge the two entries."
            )


def _require_known_categories(path: Path, file: CocoFile) -> None:
    for number, box in enumerate(file.boxes):
        if box.category_id not in file.categories:
            raise DataError(
                f"{path} lacks the category {box.category_id!r} of annotation {number}: add it to "
                "'categories' or remove the annotation."
            )


def rows(path: Path, key: str, entries: list, known: Mapping[str, _Field]) -> list[list]:
    """The values of each entry's fields, in the order of `known`.

    Raises:
        DataError: an entry is no object, or lacks a field or its value is not valid.
    """
    fields = known.items()
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


def normalized_names(path: Path, names: Sequence[str]) -> list[str]:
    """The names normalised ("a/./b.jpg" is "a/b.jpg"), but for addresses of the web.

    Raises:
        DataError: a name that `path` lists is that of a folder.
    """
    normalized = []
    for number, name in enumerate(names):
        clean = name if "://" in name else os.path.normpath(name)
        if clean == os.curdir:
            raise DataError(f"{path}: entry {number} of 'images' names a folder, {name!r}.")
        normalized.append(clean)
    return normalized


def inside_root(path: Path, names: Sequence[str]) -> list[str]:
    """The same names.

    Raises:
        DataError: a name that `path` lists is no file name, or leads out of the root.
    """
    normalized = normalized_names(path, names)
    for name, clean in zip(names, normalized, strict=True):
        if leads_outside(clean):
            raise outside_folder(path, name)
    return normalized


def leads_outside(name: str) -> bool:
    """Whether a normalised name is no place below a folder."""
    return "://" in name or Path(name).is_absolute() or Path(name).parts[0] == os.pardir


def outside_folder(path: Path, name: str) -> DataError:
    """The sentence of an annotation file and a name that leads out of its folder."""
    return DataError(
        f"{path} lists the image {name!r}, which is outside its folder: list the images relative "
        "to data.root."
    )
