"""Pictures of a folder: those that are there, decoded in the background, and those that come."""

import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from datamodules.decoding import Crops, Notices, ResizeMode, add_notices, read_crops
from datamodules.errors import DataError
from datamodules.schema import Size
from datamodules.sources import IMAGE_SUFFIXES, find_images, image_files, left_out_text
from datamodules.workers import map_in_order, prefetch


@dataclass(frozen=True)
class ReadBatch:
    """Some files in order.

    Attributes:
        paths: of those that could be read.
        images: their pixels, uint8 N x 3 x H x W; N may be 0.
        unreadable: path of each other -> what is wrong with it.
        notices: what was odd about files that could be read.
    """

    paths: list[str]
    images: np.ndarray
    unreadable: dict[str, str]
    notices: Notices


def choose_images(places: Sequence[str]) -> tuple[Path, list[str]]:
    """The images that a person names: files, and all of folders.

    Returns:
        The folder that all of them lie in or below, and their paths, each once, in that order.

    Raises:
        DataError: one of them does not exist, or a folder has no image.
    """
    for place in places:
        if not Path(place).exists():
            raise DataError(f"The image folder or file {place} does not exist; name existing ones.")
    if len(places) == 1 and Path(places[0]).is_dir():
        return Path(places[0]), list_images(Path(places[0]))
    absolute = [Path(os.path.abspath(place)) for place in places]  # noqa: PTH100  # links stay
    paths = [list_images(p) if p.is_dir() else [str(p)] for p in absolute]
    folder = os.path.commonpath([p if p.is_dir() else p.parent for p in absolute])
    return Path(folder), list(dict.fromkeys(path for some in paths for path in some))


def list_images(folder: Path, tell: Callable[[str], None] = print) -> list[str]:
    """The image files of a folder and the folders below it, sorted.

    Args:
        folder: the folder.
        tell: takes a line on what is left out, if anything is.

    Raises:
        DataError: there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise DataError(f"The image folder {folder} does not exist; give an existing one.")
    found = find_images(folder)
    left_out = left_out_text(found.left_out)
    if not found.paths:
        others = f", but {left_out}" if left_out else ""
        raise DataError(
            f"The folder {folder} has no images ({', '.join(IMAGE_SUFFIXES)}){others}; nothing to "
            "do."
        )
    if left_out:
        tell(f"left out    {left_out}")
    return found.paths


def read_batches(
    paths: Iterable[str],
    *,
    size: Size,
    resize_mode: ResizeMode,
    batch_size: int,
    levels: int | None = None,
) -> Iterator[ReadBatch]:
    """Batches of files, decoded in threads a few batches in advance.

    The pixels are those that the cache would hold, so that a network sees what it was evaluated on.

    Args:
        paths: of image files.
        size: (height, width) in pixels.
        resize_mode: what happens to another aspect ratio.
        batch_size: files in a batch; unreadable ones count.
        levels: bits in use in samples of more than 8; None: all 16.
    """
    decode = partial(_decode, size=size, resize_mode=resize_mode, levels=levels)
    decoded = map_in_order(decode, paths)
    return prefetch(_batches(decoded, size, batch_size))


def _batches(
    decoded: Generator[tuple[str, Crops | DataError], None, None], size: Size, batch_size: int
) -> Iterator[ReadBatch]:
    with closing(decoded):
        while group := list(islice(decoded, batch_size)):
            good = [(path, found) for path, found in group if not isinstance(found, DataError)]
            images = np.empty((len(good), 3, *size), np.uint8)
            notices: Notices = {}
            for image, (path, crops) in zip(images, good, strict=True):
                image[:] = crops.pixels[0].transpose(2, 0, 1)
                add_notices(notices, path, crops.notices)
            unreadable = {path: str(found) for path, found in group if isinstance(found, DataError)}
            yield ReadBatch([path for path, _ in good], images, unreadable, notices)


def _decode(
    path: str, *, size: Size, resize_mode: ResizeMode, levels: int | None
) -> tuple[str, Crops | DataError]:
    try:
        return path, read_crops(path, [None], size=size, resize_mode=resize_mode, levels=levels)
    except DataError as error:
        return path, error


def new_images(
    folder: Path, *, interval: float = 1.0, wait: Callable[[float], None] = time.sleep
) -> Iterator[list[str]]:
    """For ever: the images that came since the last time, sorted; an empty list where none did.

    A file is given out once its size has stood still for an interval, so that none is read while
    it is being written; a file that changes later is given out again.

    Args:
        folder: it and the folders below it; hidden files are left out.
        interval: seconds between two looks.
        wait: how to spend them.

    Raises:
        DataError: there is no such folder, at the start or later.
    """
    given: dict[str, tuple[int, int]] = {}
    before: dict[str, tuple[int, int]] = {}
    while True:
        now = _states(folder)
        ready = [p for p in now if before.get(p) == now[p] and given.get(p) != now[p]]
        given = {p: state for p, state in given.items() if p in now}
        given.update((path, now[path]) for path in ready)
        yield sorted(ready)
        before = now
        wait(interval)


def _states(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of the last change of each image."""
    if not folder.is_dir():
        raise DataError(f"The image folder {folder} does not exist; give an existing one.")
    states = {}
    for path in image_files(folder):
        try:
            status = Path(path).stat()
        except OSError:  # gone since it was listed
            continue
        states[path] = status.st_size, status.st_mtime_ns
    return states
