"""TACO, trash annotations in context: each image from where the annotations say it is.

Proença and Simões, "TACO: Trash Annotations in Context for Litter Detection", 2020
(arXiv:2003.06975).
"""

import json
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from datamodules.downloads.failure import Failure
from datamodules.downloads.fetching import Target
from datamodules.downloads.image_checks import check_image, looks_right
from datamodules.downloads.limits import Limits
from datamodules.downloads.many_files import fetch_all, fetch_one
from datamodules.downloads.root_folder import Report, sole_writer, write_missing
from datamodules.errors import DataError
from datamodules.files import write_bytes
from datamodules.sources import IMAGE_SUFFIXES, image_suffixes, read_coco
from datamodules.workers import map_in_order, report_progress

URL = "https://raw.githubusercontent.com/pedropro/TACO/master/data/annotations.json"
ANNOTATIONS = "annotations.json"
AVAILABLE = "annotations_available.json"


def download_taco(
    root: Path,
    *,
    url: str = URL,
    annotations: Path | None = None,
    verify: bool = False,
    limits: Limits,
) -> Report:
    """Fetch the annotations and every image that is not there yet.

    An image counts as there when it has its listed size. Images are kept as they come, some of
    them PNG files under a name in .jpg. While images are missing, `missing.csv` lists them and
    `annotations_available.json` does without them.

    Args:
        root: the folder to fill.
        url: of the annotations, where they are absent.
        annotations: a file to take instead.
        verify: decode the images that are there too, and fetch the broken ones anew.
        limits: of tries, seconds, bytes.

    Raises:
        DataError: no annotations, unusable ones, or a disk that cannot be written.
    """
    with sole_writer(root):
        _provide_annotations(root / ANNOTATIONS, url, annotations, limits)
        content = _read(root / ANNOTATIONS)
        targets = _targets(root, content["images"])
        lacking = _lacking(targets, _sizes(content["images"]), verify=verify)
        missing = fetch_all(lacking, limits=limits, job="taco")
        write_missing(root, missing)
        _write_available(root, content, {target.path for target in missing})
    fetched = len(lacking) - len(missing)
    return Report(root=root, total=len(targets), fetched=fetched, missing=missing)


def _read(path: Path) -> dict[str, Any]:
    """The annotation file with all its fields, which must be those of a COCO detection file."""
    read_coco(path)
    return json.loads(path.read_text("utf-8-sig"))


def _provide_annotations(path: Path, url: str, given: Path | None, limits: Limits) -> None:
    if given is not None:
        read_coco(given)
        content = given.read_bytes()
        if path.is_file() and path.read_bytes() != content:
            raise DataError(f"{path} is there and differs from {given}: move one of them away.")
        write_bytes(path, content)
    elif not path.is_file():
        fetch_one(Target(url, path, _check_annotations), limits=limits, job="taco annotations")


def _check_annotations(path: Path) -> None:
    try:
        read_coco(path)
    except DataError as error:
        raise Failure(f"it is no annotation file ({error})") from None


def _targets(root: Path, images: list[dict[str, Any]]) -> list[Target]:
    """One for each listed image.

    Raises:
        DataError: a name is not that of an image.
    """
    names = [os.path.normpath(image["file_name"]) for image in images]
    for name in names:
        if Path(name).suffix.lower() not in image_suffixes() or not name.isprintable():
            raise DataError(
                f"The annotations in {root} list {name!r}, which is no image's name: it must end "
                f"in {', '.join(IMAGE_SUFFIXES)} or the suffix of another format."
            )
    return [
        Target(str(image.get("flickr_url") or ""), root / name, partial(check_image, size=size))
        for image, name, size in zip(images, names, _sizes(images), strict=True)
    ]


def _sizes(images: list[dict[str, Any]]) -> list[tuple[int, int]]:
    return [(int(image["width"]), int(image["height"])) for image in images]


def _lacking(
    targets: Sequence[Target], sizes: Sequence[tuple[int, int]], *, verify: bool
) -> list[Target]:
    look = _decodes if verify else _has_size
    there: Iterator[bool] = map_in_order(look, zip(targets, sizes, strict=True))
    if verify:
        there = report_progress(there, total=len(targets), job="taco: decoding what is there")
    return [target for target, found in zip(targets, there, strict=True) if not found]


def _has_size(expected: tuple[Target, tuple[int, int]]) -> bool:
    target, size = expected
    return target.path.is_file() and looks_right(target.path, size)


def _decodes(expected: tuple[Target, tuple[int, int]]) -> bool:
    target, _ = expected
    try:
        target.check(target.path)
    except Failure:
        return False
    return True


def _write_available(root: Path, content: dict[str, Any], missing: set[Path]) -> None:
    """The annotations of the images that are there, while some are missing."""
    path = root / AVAILABLE
    images = [
        i for i in content["images"] if root / os.path.normpath(i["file_name"]) not in missing
    ]
    if len(images) in (0, len(content["images"])):
        path.unlink(missing_ok=True)
        return
    kept = {image["id"] for image in images}
    boxes = [box for box in content["annotations"] if box["image_id"] in kept]
    write_bytes(path, json.dumps({**content, "images": images, "annotations": boxes}).encode())
