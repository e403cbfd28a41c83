"""What lies in the cache folder: listing and removing what `build_once` made there."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from datamodules.errors import DataError
from datamodules.files import part_of


@dataclass(frozen=True)
class StoredCache:
    """One folder of the cache, whole or left behind by a killed build.

    Attributes:
        name: path relative to the cache folder.
        folder: where it lies; of a killed build, without the `.part` that its remains have.
        bytes: what its files take on the disk.
        idle_days: days since it was last used.
        whole: whether it is more than the remains of a killed build.
    """

    name: str
    folder: Path
    bytes: int
    idle_days: float
    whole: bool

    def remove(self) -> None:
        """Delete it; runs that have it open keep their pixels until they end.

        Raises:
            DataError: it is being built at this moment, or may not be deleted.
        """
        try:
            with FileLock(f"{self.folder}.lock", timeout=0):
                for folder in (self.folder, part_of(self.folder)):
                    if folder.is_dir():
                        shutil.rmtree(folder)
        except Timeout:
            raise DataError(
                f"The cache {self.name} is being built: wait until it is done."
            ) from None
        except OSError as error:
            raise DataError(
                f"The cache {self.name} cannot be removed ({error.strerror})."
            ) from error


def stored_caches(cache_dir: Path) -> list[StoredCache]:
    """All caches below a folder, the longest unused first.

    A cache is known by the lock file that `build_once` leaves beside it, so that nothing else that
    lies there is ever taken for one.
    """
    folders = [lock.with_suffix("") for lock in cache_dir.rglob("*.lock")]
    found = [
        _describe(cache_dir, folder, present)
        for folder in folders
        for present in (folder, part_of(folder))
        if present.is_dir()
    ]
    return sorted(found, key=lambda cache: (-cache.idle_days, cache.name))


def _describe(cache_dir: Path, folder: Path, present: Path) -> StoredCache:
    files = [path.stat() for path in present.rglob("*") if path.is_file()]
    return StoredCache(
        name=present.relative_to(cache_dir).as_posix(),
        folder=folder,
        bytes=sum(file.st_blocks * 512 for file in files),
        idle_days=max(0.0, time.time() - present.stat().st_mtime) / 86400,
        whole=present == folder,
    )
