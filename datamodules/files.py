"""Making a folder once: whole or not at all, also when several processes want it."""

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from datamodules.errors import unwritable


def build_once(folder: Path, build: Callable[[Path], None]) -> None:
    """Make `folder` unless it is there: `build` fills a temporary folder, which is then renamed.

    One process builds while the others wait for its lock. What a killed build leaves has the
    temporary name, so it is never taken for whole, and the next build removes it.

    Raises:
        DataError: the folder cannot be written, as when the disk is full.
    """
    from filelock import FileLock

    if folder.is_dir():
        _note_use(folder)
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not folder.is_dir():
                _build_and_rename(folder, build)
    except OSError as error:
        raise unwritable(folder, error) from error


def _note_use(folder: Path) -> None:
    """A folder's time is that of its last use, by which old ones are found."""
    with contextlib.suppress(OSError):  # another user's cache can be used as well
        os.utime(folder)


def _build_and_rename(folder: Path, build: Callable[[Path], None]) -> None:
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        build(part)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
