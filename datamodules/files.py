"""Files and folders that are whole or absent: written beside their place, then renamed.

All are made by plain opening and `mkdir`, so that they get the mode that the user's umask allows.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from glob import escape
from pathlib import Path
from typing import Any

from datamodules.errors import DataError, unwritable

# What JSON that was damaged, or never was any, makes of whoever takes it apart.
DAMAGE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


def home_expanded(path: str | Path) -> str:
    """A path with the home folder in the place of its `~`, if there is such a user."""
    try:
        return os.path.expanduser(str(path))  # noqa: PTH111  # pathlib's raises where there is none
    except ValueError:  # of a name that no user can have
        return str(path)


@contextlib.contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to, which takes its name at the end; its folder is made.

    What an error leaves is removed, and `path` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield beside
        beside.replace(path)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def remove_dead_parts(folder: Path, name: str = "*") -> None:
    """Removes what processes of this host left half-written in a folder when they were killed.

    Others may be writing there, even to the same file.

    Args:
        folder: that itself, not what is in folders below it.
        name: of the file or folder that was to be; all of them by default.
    """
    for part in folder.glob(f".{name if name == '*' else escape(name)}.*.part"):
        pid = part.name.removesuffix(".part").rpartition(".")[2]
        if not pid.isdecimal() or _runs(int(pid)):
            continue
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another account's
        return True
    return True


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        DataError: it cannot be written.
    """
    try:
        with written_beside(path) as beside:
            beside.write_bytes(content)
    except OSError as error:
        raise unwritable(path, error) from error


def rename_synced(part: Path, path: Path) -> None:
    """Give a file its name, once its bytes are safe from a power cut."""
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.replace(path)


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
    except BrokenPipeError:  # of the progress, which nobody reads
        raise
    except OSError as error:
        raise unwritable(folder, error) from error


def read_kept(path: Path, fits: Callable[[Any], bool]) -> Any:
    """JSON in a folder that `build_once` made.

    Args:
        path: of the file.
        fits: whether its content is of the form that was written; may fail at what is not.

    Raises:
        DataError: it is damaged.
    """
    with contextlib.suppress(FileNotFoundError, *DAMAGE):
        content = json.loads(path.read_bytes())
        if fits(content):
            return content
    raise damaged(path.parent)


def damaged(folder: Path, reason: str = "") -> DataError:
    """The sentence on a folder that `build_once` made, whose files others have changed."""
    why = f" ({reason})" if reason else ""
    return DataError(
        f"{folder} was written by this program and is damaged{why}: remove it, and it is made "
        "again."
    )


def part_of(folder: Path) -> Path:
    """Where `build_once` fills `folder` before it is whole."""
    return folder.with_name(f"{folder.name}.part")


def _note_use(folder: Path) -> None:
    """A folder's time is that of its last use, by which old ones are found."""
    with contextlib.suppress(OSError):  # another user's cache can be used as well
        os.utime(folder)


def _build_and_rename(folder: Path, build: Callable[[Path], None]) -> None:
    part = part_of(folder)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        build(part)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def file_state(path: str) -> tuple[str, tuple[int, int, int] | None]:
    """Where a file is, and what changes with its content; None where there is none."""
    file = Path(path)
    status = file.stat() if file.exists() else None
    # The time of the last change is set by the system: a copy with an old date is noticed.
    state = (status.st_size, status.st_mtime_ns, status.st_ctime_ns) if status else None
    return str(file.absolute()), state
