"""The cache: pixels of one split, decoded and resized once, in one memory-mapped file.

A cache is a folder with `pixels` (uint8 N x H x W x 3, raw) and `images.json` (which items could be
read, why the others could not, what was odd about files, and how many bits are in use in those with
more than 8), shared by all runs with the same images and settings. With
`keep_pixels=False` only the list is made, by decoding every file once, and pixels are decoded when
they are used: the same pixels of the same items, slower.
"""

import hashlib
import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import PIL

from datamodules.cache.pixels import ChosenPixels, DecodedPixels, Pixels, StoredPixels
from datamodules.decoding import (
    Crops,
    LevelRange,
    Notices,
    ResizeMode,
    add_notices,
    read_crops,
)
from datamodules.decoding.levels import ALL_BITS
from datamodules.errors import DataError
from datamodules.files import build_once, file_state, read_kept
from datamodules.schema import Size
from datamodules.sources import Box, Item
from datamodules.workers import map_in_processes, report_progress

log = logging.getLogger(__name__)

FORMAT_VERSION = 3

# Bits in use in samples of more than 8, None: all 16; or to be found from these very images.
Levels = int | None | Literal["found"]


@dataclass(frozen=True)
class CachedSplit:
    """The readable items of a split and their pixels."""

    items: list[Item]
    pixels: Pixels
    bad: dict[str, str]  # path of an unreadable file -> what is wrong with it
    key: str  # changes with the pixels
    levels: int | None = None  # bits in use in samples of more than 8; None: all, or there are none
    deep: int = 0  # files with more than 8 bits in a sample
    notices: Notices = field(default_factory=dict)  # what was odd about files

    def only(self, items: Sequence[Item]) -> "CachedSplit":
        """Those of `items` that can be read, and their pixels."""
        position = {item: number for number, item in enumerate(self.items)}
        kept = [item for item in items if item in position]
        paths = {item.path for item in items}
        bad = {path: why for path, why in self.bad.items() if path in paths}
        positions = [position[item] for item in kept]
        key = hashlib.sha256(repr((self.key, positions)).encode()).hexdigest()[:16]
        pixels = ChosenPixels(self.pixels, positions)
        return replace(self, items=kept, pixels=pixels, bad=bad, key=key)


class _Job(NamedTuple):
    """One file, the numbers of its items and their boxes, and the size that it should have."""

    path: str
    numbers: list[int]
    boxes: list[Box | None]
    annotated: tuple[int, int] | None


class _File(NamedTuple):
    """One file, its job, and its crops (K x H x W x 3) or what is wrong."""

    job: _Job
    crops: Crops | DataError


def open_cache(
    items: Sequence[Item],
    *,
    name: str,
    size: Size,
    resize_mode: ResizeMode,
    cache_dir: Path,
    keep_pixels: bool = True,
    levels: Levels = None,
) -> CachedSplit:
    """Open the cache of some items; build it first, in threads, where there is none.

    Args:
        items: what is cached, in this order; those of one file best side by side.
        name: of the split, for people who look into `cache_dir`.
        size: height and width of the cached pixels.
        resize_mode: what happens to the aspect ratio: stretch, pad or crop.
        cache_dir: where caches are kept.
        keep_pixels: store the pixels; else they are decoded at each use.
        levels: bits in use in samples of more than 8; `found`: as few as hold all of these images.

    Raises:
        DataError: no image can be read, or the cache cannot be written or is damaged.
    """
    kind = "pixels" if keep_pixels else "list"

    def folder_of(levels: Levels) -> Path:
        key = _key(items, size, resize_mode, levels)
        return cache_dir / f"{name}_{size[0]}x{size[1]}_{kind}_{key}"

    folder = folder_of(levels)
    if (
        levels != "found"
        and not folder.is_dir()
        and _levels_of(other := folder_of("found")) == levels
    ):
        folder = other  # the same pixels
    settings = _Settings(name, size, resize_mode, keep_pixels, levels)
    build_once(folder, partial(_build, items=items, settings=settings))
    images = read_kept(folder / "images.json", partial(_fits, count=len(items)))
    kept = [items[number] for number in images["kept"]]
    if not kept:
        reason = next(iter(images["bad"].values()), "the split is empty")
        raise DataError(f"None of the {len(items)} {name} images can be read: {reason}")
    pixels: Pixels
    if keep_pixels:
        pixels = StoredPixels(folder / "pixels", (len(kept), *size, 3))
    else:
        pixels = DecodedPixels(kept, size=size, resize_mode=resize_mode, levels=images["levels"])
    return CachedSplit(
        kept,
        pixels,
        images["bad"],
        folder.name,
        levels=images["levels"],
        deep=images["deep"],
        notices=images["notices"],
    )


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


class _Settings(NamedTuple):
    """How a cache is built; the arguments of `open_cache`."""

    name: str
    size: Size
    resize_mode: ResizeMode
    keep_pixels: bool
    levels: Levels


def _levels_of(folder: Path) -> Levels:
    """The bits in use that were found where a cache is; `found` where there is none."""
    path = folder / "images.json"
    return read_kept(path, _fits)["levels"] if path.is_file() else "found"


def _fits(images: Any, count: int = sys.maxsize) -> bool:
    """Whether that is what `_build` wrote of so many items."""
    kept, levels, notices = images["kept"], images["levels"], images["notices"]
    return (
        isinstance(kept, list)
        and all(type(number) is int and 0 <= number < count for number in kept)
        and (levels is None or (type(levels) is int and 8 <= levels <= ALL_BITS))
        and type(images["deep"]) is int
        and isinstance(images["bad"], dict)
        and all(isinstance(why, str) for why in images["bad"].values())
        and all(isinstance(path, str) for paths in notices.values() for path in paths)
    )


def _key(items: Sequence[Item], size: Size, resize_mode: ResizeMode, levels: Levels) -> str:
    """Changes with whatever changes the pixels."""
    settings = (FORMAT_VERSION, PIL.__version__, size, resize_mode, levels)
    digest = hashlib.sha256(repr(settings).encode())
    for path, group in groupby(items, key=lambda item: item.path):
        boxes = [(item.box, item.size) for item in group]
        # A listed file that is absent is found when it is decoded.
        digest.update(repr((*file_state(path), boxes)).encode())
    return digest.hexdigest()[:16]


def _build(folder: Path, *, items: Sequence[Item], settings: _Settings) -> None:
    kept: list[int] = []
    bad: dict[str, str] = {}
    notices: Notices = {}
    deep: list[tuple[int, _Job]] = []  # where their pixels are in the file
    ranges: list[LevelRange] = []
    levels = None if settings.levels == "found" else settings.levels
    with (folder / "pixels").open("wb") as file:
        for job, crops in _decoded(_jobs(items), settings, levels):
            if isinstance(crops, DataError):
                bad[job.path] = str(crops)
                continue
            kept += job.numbers
            add_notices(notices, job.path, crops.notices)
            if crops.levels is not None:
                ranges.append(crops.levels)
                deep.append((file.tell(), job))
            if settings.keep_pixels:
                # Plain writing, not through a memory map: a full disk is an error, not a crash.
                file.write(crops.pixels.tobytes())
        if settings.levels == "found" and deep:
            levels = LevelRange.of_all(ranges).rule
            if levels != ALL_BITS and settings.keep_pixels:
                _write_again(file, deep, settings, levels)
    found = {"kept": kept, "bad": bad, "levels": levels, "deep": len(deep), "notices": notices}
    (folder / "images.json").write_text(json.dumps(found))


def _write_again(
    file: BinaryIO, deep: Sequence[tuple[int, _Job]], settings: _Settings, levels: int
) -> None:
    """Replace the pixels of files with more than 8 bits, now that those in use are known."""
    decoded = _decoded([job for _, job in deep], settings, levels)
    for (place, _), (_, crops) in zip(deep, decoded, strict=True):
        if isinstance(crops, DataError):  # it was readable a moment ago
            raise crops
        file.seek(place)
        file.write(crops.pixels.tobytes())


def _decoded(jobs: Sequence[_Job], settings: _Settings, levels: int | None) -> Iterator[_File]:
    size = settings.size
    decode = partial(_decode, size=size, resize_mode=settings.resize_mode, levels=levels)
    decoded = map_in_processes(decode, jobs, count=len(jobs))
    bits = "" if levels is None else f" as {levels} bits"
    job = f"Reading {len(jobs)} {settings.name} images at {size[0]} x {size[1]}{bits}"
    return report_progress(decoded, total=len(jobs), job=job)


def _jobs(items: Sequence[Item]) -> list[_Job]:
    jobs = []
    for path, group in groupby(range(len(items)), key=lambda number: items[number].path):
        numbers = list(group)
        jobs.append(_Job(path, numbers, [items[n].box for n in numbers], items[numbers[0]].size))
    return jobs


def _decode(job: _Job, *, size: Size, resize_mode: ResizeMode, levels: int | None) -> _File:
    try:
        crops = read_crops(
            job.path,
            job.boxes,
            size=size,
            resize_mode=resize_mode,
            annotated=job.annotated,
            levels=levels,
        )
    except DataError as error:
        return _File(job, error)
    return _File(job, crops)
