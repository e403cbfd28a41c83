"""Reading every picture of a data set once: its size, its kind of file and its fingerprint."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from datamodules.audit.similarity import SMALL, detail, perceptual_hash, thumbnail
from datamodules.decoding import PADDING_COLOR, LevelRange, decode_image, read_level_range
from datamodules.errors import DataError
from datamodules.sources import Box, Item
from datamodules.workers import map_in_order, report_progress

SHOWN_BYTES = 12  # of a file that is no image
REDUCED = 64  # side at which pictures are compared by their looks, in pixels


@dataclass(frozen=True)
class File:
    """What a file's header says."""

    bytes: int
    format: str  # as Pillow names it: JPEG, PNG, ...
    mode: str  # as Pillow names it: RGB, L, CMYK, ...
    frames: int


@dataclass(frozen=True)
class Picture:
    """One readable item of a split."""

    split: str
    item: Item
    width: int  # of the box where there is one, in pixels
    height: int
    file: File
    file_digest: bytes  # of the file's bytes and the box
    pixel_digest: bytes  # of the decoded pixels, upright and in RGB
    phash: int
    thumbnail: np.ndarray  # uint8 16 x 16
    detail: np.ndarray | None = None  # uint8 32 x 32, of a small one: see `similarity`


@dataclass(frozen=True)
class BadFile:
    """A file that cannot be decoded."""

    split: str
    items: Sequence[Item]
    reason: str

    @property
    def path(self) -> str:
        """The file."""
        return self.items[0].path


def read_pictures(
    splits: Mapping[str, Sequence[Item]], *, levels: int | None = None
) -> tuple[list[Picture], list[BadFile]]:
    """Decode every file of the splits in threads, showing progress.

    Of items of one file that lie side by side, the file is decoded once.

    Args:
        splits: split -> its items.
        levels: bits in use in samples of more than 8; None: all 16.
    """
    jobs = [
        (split, list(items))
        for split, all_items in splits.items()
        for _, items in groupby(all_items, key=lambda item: item.path)
    ]
    pictures: list[Picture] = []
    bad: list[BadFile] = []
    results = map_in_order(partial(_read, levels=levels), jobs)
    for found in report_progress(results, total=len(jobs), job=f"Reading {len(jobs)} files"):
        if isinstance(found, BadFile):
            bad.append(found)
        else:
            pictures += found
    return pictures, bad


def find_levels(splits: Mapping[str, Sequence[Item]]) -> int | None:
    """Bits in use in samples of more than 8, as training finds them; None: there are no such."""
    items = splits.get("train") or [item for items in splits.values() for item in items]
    paths = dict.fromkeys(item.path for item in items)
    ranges = [found for found in map_in_order(read_level_range, paths) if found is not None]
    return LevelRange.of_all(ranges).rule if ranges else None


def decode_failure(path: str, error: DataError) -> str:
    """Why a file could not be decoded, in a few words.

    Args:
        path: the file.
        error: what was raised when it was decoded.
    """
    file = Path(path)
    if file.is_dir():
        return "a folder, not a file"
    if not file.exists():
        return "a link to nothing" if file.is_symlink() else "there is no such file"
    if file.stat().st_size == 0:
        return "the file is empty"
    cause = error.__cause__
    if cause is None:  # decoded, and not as it should be
        return str(error).removeprefix(f"The image {path} ").rstrip(".")
    if isinstance(cause, UnidentifiedImageError):
        with file.open("rb") as opened:
            return f"not an image: it begins with {opened.read(SHOWN_BYTES)!r}"
    return " ".join(str(cause).split()) or type(cause).__name__


def decode_truncated(path: str) -> np.ndarray | None:
    """The readable part of a damaged file, uint8 H x W x 3, or None where there is none.

    Not for threads: Pillow has one switch for all decoding.
    """
    strict = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        return np.asarray(decode_image(path))
    except DataError:
        return None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = strict


def _read(job: tuple[str, list[Item]], *, levels: int | None) -> list[Picture] | BadFile:
    split, items = job
    path = items[0].path
    try:
        image = decode_image(path, annotated=items[0].size, levels=levels)
    except DataError as error:
        return BadFile(split, items, decode_failure(path, error))
    return list(_pictures(split, items, image))


def _pictures(split: str, items: list[Item], image: Image.Image) -> Iterator[Picture]:
    path = Path(items[0].path)
    file = _file(path)
    content = path.read_bytes()
    for item in items:
        picture = image if item.box is None else _crop(image, item.box)
        small = picture.resize((REDUCED, REDUCED), Image.Resampling.BILINEAR, reducing_gap=4)
        yield Picture(
            split=split,
            item=item,
            width=picture.width,
            height=picture.height,
            file=file,
            file_digest=_digest(repr(item.box).encode(), content),
            pixel_digest=_digest(repr(picture.size).encode(), picture.tobytes()),
            phash=perceptual_hash(small),
            thumbnail=thumbnail(small),
            detail=detail(small) if min(picture.size) < SMALL else None,
        )


def _file(path: Path) -> File:
    with Image.open(path) as image:
        frames = getattr(image, "n_frames", 1)
        return File(path.stat().st_size, image.format or "", image.mode, frames)


def _crop(image: Image.Image, box: Box) -> Image.Image:
    """The box in its own size, grey where it reaches outside the image."""
    x0, y0, x1, y1 = box
    inside = (max(x0, 0), max(y0, 0), min(x1, image.width), min(y1, image.height))
    crop = Image.new("RGB", (x1 - x0, y1 - y0), PADDING_COLOR)
    if inside[0] < inside[2] and inside[1] < inside[3]:
        crop.paste(image.crop(inside), (inside[0] - x0, inside[1] - y0))
    return crop


def _digest(*parts: bytes) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return digest.digest()
