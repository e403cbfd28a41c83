"""The folder that a data set is downloaded into."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from datamodules.errors import DataError, unwritable


def default_root(name: str) -> Path:
    """Where `conf/data/NAME.yaml` looks for it: in `data/`, or wherever MODEL_DIET_DATA points."""
    return Path(os.environ.get("MODEL_DIET_DATA", "data")) / name


@contextlib.contextmanager
def sole_writer(root: Path) -> Iterator[None]:
    """Make the folder, and keep other downloads out of it meanwhile; a killed one does not.

    Raises:
        DataError: another download is at work there, or it cannot be written.
    """
    from filelock import FileLock, Timeout

    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(root / ".download.lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise DataError(
            f"Another download into {root} is running: wait for its end, or stop it."
        ) from None
    except OSError as error:
        raise unwritable(root, error) from error
    try:
        yield
    finally:
        lock.release()
