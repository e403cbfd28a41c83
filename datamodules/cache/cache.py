"""The cache: pixels of one split, decoded and resized once, in one memory-mapped file.

A cache is a folder with `pixels` (uint8 N x H x W x 3, raw) and `images.json` (which items could be
read, and why the others could not), shared by all runs with the same images and settings. With
`keep_pixels=False` only the list is made, by decoding every file once, and pixels are decoded when
they are used: the same pixels of the same items, slower.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL

from datamodules.cache.pixels import ChosenPixels, DecodedPixels, Pixels, StoredPixels
from datamodules.decoding import ResizeMode, decode_crops
from datamodules.errors import DataError
from datamodules.files import build_once
from datamodules.schema import Size
from datamodules.sources import Box, Item
from datamodules.workers import map_in_processes, report_progress

log = logging.getLogger(__name__)

FORMAT_VERSION = 3


@dataclass(frozen=True)
class CachedSplit:
    """The readable items of a split and their pixels."""

    items: list[Item]
    pixels: Pixels
    bad: dict[str, str]  # path of an unreadable file -> what is wrong with it
    key: str  # changes with the pixels

    def only(self, items: Sequence[Item]) -> "CachedSplit":
        """Those of `items` that can be read, and their pixels."""
        position = {item: number for number, item in enumerate(self.items)}
        kept = [item for item in items if item in position]
        paths = {item.path for item in items}
        bad = {path: why for path, why in self.bad.items() if path in paths}
        positions = [position[item] for item in kept]
        key = hashlib.sha256(repr((self.key, positions)).encode()).hexdigest()[:16]
        return CachedSplit(kept, ChosenPixels(self.pixels, positions), bad, key)


class _Job(NamedTuple):
    """One file, the numbers of its items and their boxes, and the size that it should have."""

    path: str
    numbers: list[int]
    boxes: list[Box | None]
    annotated: tuple[int, int] | None


class _File(NamedTuple):
    """One file, the numbers of its items, and their crops (K x H x W x 3) or what is wrong."""

    path: str
    numbers: list[int]
    crops: np.ndarray | DataError


def open_cache(
    items: Sequence[Item],
    *,
    name: str,
    size: Size,
    resize_mode: ResizeMode,
    cache_dir: Path,
    keep_pixels: bool = True,
) -> CachedSplit:
    """Open the cache of some items; build it first, in threads, where there is none.

    Args:
        items: what is cached, in this order; those of one file best side by side.
        name: of the split, for people who look into `cache_dir`.
        size: height and width of the cached pixels.
        resize_mode: what happens to the aspect ratio: stretch, pad or crop.
        cache_dir: where caches are kept.
        keep_pixels: store the pixels; else they are decoded at each use.

    Raises:
        DataError: no image can be read, or the cache cannot be written or is damaged.
    """
    kind = "pixels" if keep_pixels else "list"
    folder = cache_dir / f"{name}_{size[0]}x{size[1]}_{kind}_{_key(items, size, resize_mode)}"
    build = partial(
        _build,
        items=items,
        name=name,
        size=size,
        resize_mode=resize_mode,
        keep_pixels=keep_pixels,
    )
    build_once(folder, build)
    images = json.loads((folder / "images.json").read_text())
    kept = [items[number] for number in images["kept"]]
    if not kept:
        reason = next(iter(images["bad"].values()), "the split is empty")
        raise DataError(f"None of the {len(items)} {name} images can be read: {reason}")
    pixels: Pixels
    if keep_pixels:
        pixels = StoredPixels(folder / "pixels", (len(kept), *size, 3))
    else:
        pixels = DecodedPixels(kept, size=size, resize_mode=resize_mode)
    return CachedSplit(kept, pixels, images["bad"], folder.name)


def allow_bad_images(bad: Mapping[str, str], limit: int) -> None:
    """Name each skipped image in a warning.

    Args:
        bad: path of each unreadable image -> sentence that says what is wrong with it.
        limit: how many may be skipped.

    Raises:
        DataError: there are more.
    """
    if len(bad) > limit:
        first = " ".join(list(bad.values())[:3])
        raise DataError(
            f"{len(bad)} images cannot be used and data.max_bad_images={limit}: repair them, "
            f"remove them or raise that number. The first: {first}"
        )
    for sentence in bad.values():
        log.warning("Skipped: %s", sentence)


def _key(items: Sequence[Item], size: Size, resize_mode: ResizeMode) -> str:
    """Changes with whatever changes the pixels."""
    digest = hashlib.sha256(repr((FORMAT_VERSION, PIL.__version__, size, resize_mode)).encode())
    for path, group in groupby(items, key=lambda item: item.path):
        file = Path(path)
        # A listed file that is absent is found when it is decoded.
        status = file.stat() if file.exists() else None
        # The time of the last change is set by the system: a copy with an old date is noticed.
        state = (status.st_size, status.st_mtime_ns, status.st_ctime_ns) if status else None
        boxes = [(item.box, item.size) for item in group]
        digest.update(repr((str(file.absolute()), state, boxes)).encode())
    return digest.hexdigest()[:16]


def _build(
    folder: Path,
    *,
    items: Sequence[Item],
    name: str,
    size: Size,
    resize_mode: ResizeMode,
    keep_pixels: bool,
) -> None:
    kept: list[int] = []
    bad: dict[str, str] = {}
    with (folder / "pixels").open("wb") as file:
        for path, numbers, crops in _decoded(items, name, size, resize_mode):
            if isinstance(crops, DataError):
                bad[path] = str(crops)
                continue
            kept += numbers
            if keep_pixels:
                # Plain writing, not through a memory map: a full disk is an error, not a crash.
                file.write(crops.tobytes())
    (folder / "images.json").write_text(json.dumps({"kept": kept, "bad": bad}))


def _decoded(
    items: Sequence[Item], name: str, size: Size, resize_mode: ResizeMode
) -> Iterator[_File]:
    files = sum(1 for _ in groupby(items, key=lambda item: item.path))
    decoded = map_in_processes(
        partial(_decode, size=size, resize_mode=resize_mode), _jobs(items), count=files
    )
    job = f"Reading {files} {name} images at {size[0]} x {size[1]}"
    return report_progress(decoded, total=files, job=job)


def _jobs(items: Sequence[Item]) -> Iterator[_Job]:
    for path, group in groupby(range(len(items)), key=lambda number: items[number].path):
        numbers = list(group)
        yield _Job(path, numbers, [items[n].box for n in numbers], items[numbers[0]].size)


def _decode(job: _Job, *, size: Size, resize_mode: ResizeMode) -> _File:
    try:
        crops = decode_crops(
            job.path, job.boxes, size=size, resize_mode=resize_mode, annotated=job.annotated
        )
    except DataError as error:
        return _File(job.path, job.numbers, error)
    return _File(job.path, job.numbers, crops)
