"""Reading a COCO annotation file, with a sentence for everything that is wrong with it."""

import json
import os
from pathlib import Path

from datamodules.errors import DataError

NUMBER = (int, float)
REQUIRED_FIELDS = {
    "images": {"id": (int, str), "file_name": str, "width": NUMBER, "height": NUMBER},
    "annotations": {"image_id": (int, str), "category_id": (int, str), "bbox": list},
    "categories": {"id": (int, str), "name": str},
}


def read_coco(path: Path, how_to_get: str = "") -> dict[str, list[dict]]:
    """The lists `images`, `annotations` and `categories`, with the fields this package reads.

    Args:
        path: The annotation file.
        how_to_get: Sentence for a user who has no such data yet.

    Raises:
        DataError: the file is absent, not JSON, not COCO, or lists images outside its folder.
    """
    if not path.is_file():
        raise DataError(
            f"The annotation file {path} does not exist: the expected tree is "
            f"root/{path.name} and the images it lists, relative to root. {how_to_get}".strip()
        )
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"The annotation file {path} is not JSON ({error}).") from None
    for key, fields in REQUIRED_FIELDS.items():
        entries = content.get(key) if isinstance(content, dict) else None
        if not isinstance(entries, list):
            raise DataError(f"{path} is not a COCO detection file: it has no list {key!r}.")
        _require_fields(path, key, fields, entries)
    _require_known_categories(path, content)
    _require_inside(path, content["images"])
    return content


def require_images_present(root: Path, images: list[dict], how_to_get: str = "") -> None:
    """Raise `DataError` with the count and the first name of listed images that are absent."""
    absent = [image["file_name"] for image in images if not (root / image["file_name"]).is_file()]
    if absent:
        raise DataError(
            f"{len(absent)} of {len(images)} images listed by the annotations are not in {root}, "
            f"first {absent[0]!r}: download them or remove them from the file. {how_to_get}".strip()
        )


def _require_fields(path: Path, key: str, fields: dict, entries: list) -> None:
    for number, entry in enumerate(entries):
        for field, kind in fields.items():
            value = entry.get(field) if isinstance(entry, dict) else None
            if not isinstance(value, kind) or (field == "bbox" and not _is_box(value)):
                raise DataError(
                    f"{path} is not a COCO detection file: entry {number} of {key!r} has no "
                    f"valid {field!r}."
                )


def _is_box(value: list) -> bool:
    return len(value) == 4 and all(isinstance(v, NUMBER) for v in value)


def _require_known_categories(path: Path, content: dict) -> None:
    known = {category["id"] for category in content["categories"]}
    for number, annotation in enumerate(content["annotations"]):
        if annotation["category_id"] not in known:
            raise DataError(
                f"{path} lacks the category {annotation['category_id']!r} of annotation "
                f"{number}: add it to 'categories' or remove the annotation."
            )


def _require_inside(path: Path, images: list[dict]) -> None:
    for image in images:
        name = image["file_name"]
        if Path(name).is_absolute() or Path(os.path.normpath(name)).parts[:1] == (os.pardir,):
            raise DataError(
                f"{path} lists the image {name!r}, which is outside its folder: list the images "
                "relative to data.root."
            )
