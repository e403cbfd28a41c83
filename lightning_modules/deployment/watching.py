"""A folder that fills: its new images, once each is whole."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from datamodules.errors import DataError
from datamodules.sources.image_folder import image_files


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
