"""Reading a COCO annotation file, with a sentence for everything that is wrong with it."""

import json
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from datamodules.errors import DataError
from datamodules.sources.coco_fields import FIELDS, KEPT, Id, rows
from datamodules.sources.listed_files import inside_root


class CocoImage(NamedTuple):
    """A listed image: its file name, normalised and relative to the root, and its upright size."""

    id: Id
    name: str
    width: int
    height: int


class CocoBox(NamedTuple):
    """A box (x, y, width, height in pixels of the upright image) of one category."""

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


def read_coco(path: Path, how_to_get: str = "") -> CocoFile:
    """Read the images, boxes and categories, and nothing else (polygons take most of such files).

    Args:
        path: The annotation file.
        how_to_get: Sentence for a user who has no such data yet.

    Raises:
        DataError: the file is absent, not JSON, not COCO, or lists images outside its folder.
    """
    content = _read_json(path, how_to_get)
    values = {}
    for key in FIELDS:
        entries = content.get(key) if isinstance(content, dict) else None
        if not isinstance(entries, list):
            raise DataError(f"{path} is not a COCO detection file: it has no list {key!r}.")
        values[key] = rows(path, key, entries)
    _require_unique(path, "image id", (row[0] for row in values["images"]))
    _require_unique(path, "category id", (row[0] for row in values["categories"]))
    names = inside_root(path, [row[1] for row in values["images"]])
    _require_unique(path, "image file", names)
    images = [
        CocoImage(id, name, int(width), int(height))
        for name, (id, _, width, height) in zip(names, values["images"], strict=True)
    ]
    boxes = [CocoBox(*ids, tuple(bbox), bool(crowd)) for *ids, bbox, crowd in values["annotations"]]
    file = CocoFile(images, boxes, dict(values["categories"]))
    _require_known_categories(path, file)
    return file


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
