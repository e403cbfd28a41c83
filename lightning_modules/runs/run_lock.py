"""One process at a time works in a run: a lock that forked workers lack and that a kill releases.

A record lock of POSIX belongs to a process and a file. The kernel releases it when the process
ends, however it ends, and also as soon as the process closes that file anywhere: nobody else may
open `.lock` in a process that holds it.
"""

import atexit
import contextlib
import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from datamodules.errors import shown
from lightning_modules.errors import ConfigError

LOCK = ".lock"  # in the folder of a run at work, or of one that was killed
TRIES, PAUSE = 10, 0.02  # whoever only asks for the holder may have the file for a moment
_held: dict[Path, tuple[int, int]] = {}  # run -> process and descriptor: a fork inherits no lock


@dataclass(frozen=True)
class Holder:
    """The process that works in a run.

    Attributes:
        host: its machine; None where the file does not say it yet.
        pid: its number there.
    """

    host: str | None
    pid: int | None

    def __str__(self) -> str:
        if self.host is None:
            return "another process"
        return f"process {self.pid} on {'this host, ' * (self.host == platform.node())}{self.host}"


def hold(run: Path) -> None:
    """Holds a run's folder, made where it is missing, until `release` or this process's end.

    Raises:
        ConfigError: another process works there, or the disk knows no locks.
    """
    run = run.resolve()
    if _is_own(run):
        return
    run.mkdir(parents=True, exist_ok=True)
    for left in reversed(range(TRIES)):
        descriptor = _locked(run / LOCK)
        if descriptor is not None:
            break
        if left:
            time.sleep(PAUSE)
    else:
        raise ConfigError(
            f"{shown(str(run))} is at work: {_named(run)} holds it; wait until that has ended, or "
            "end it, and give the command again."
        )
    os.ftruncate(descriptor, 0)
    words = json.dumps({"host": platform.node(), "pid": os.getpid()})
    os.pwrite(descriptor, words.encode(), 0)
    _held[run] = (os.getpid(), descriptor)


@contextlib.contextmanager
def held(run: Path) -> Iterator[None]:
    """Holds a run within a block; one that this process holds already stays held after it.

    Raises:
        ConfigError: as `hold`.
    """
    before = _is_own(run.resolve())
    hold(run)
    try:
        yield
    finally:
        if not before:
            release(run)


def release(run: Path) -> None:
    """Lets go of a run that this process holds, if it does."""
    run = run.resolve()
    if _is_own(run):
        _, descriptor = _held.pop(run)
        with contextlib.suppress(OSError):
            if _is_at(run / LOCK, descriptor):  # the folder may be gone, or be another's by now
                (run / LOCK).unlink()  # still locked: nobody can hold a file that is about to go
        os.close(descriptor)


def holder(run: Path) -> Holder | None:
    """Who works in a run, this process included; None: nobody does."""
    run = run.resolve()
    if _is_own(run):  # opening and closing the file would release it
        return Holder(platform.node(), os.getpid())
    try:
        descriptor = os.open(run / LOCK, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _named(run)
    except PermissionError:  # what some systems say instead
        return _named(run)
    finally:
        os.close(descriptor)
    return None


def _is_own(run: Path) -> bool:
    return _held.get(run, (None,))[0] == os.getpid()


def _locked(path: Path) -> int | None:
    """A descriptor of the file at the path, locked; None where another process has it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(path, descriptor):
                return descriptor
        except (BlockingIOError, PermissionError):
            os.close(descriptor)
            return None
        except OSError as error:
            os.close(descriptor)
            raise ConfigError(
                f"{shown(str(path.parent))} cannot be held against other processes, since its disk "
                f"knows no locks ({error.strerror}); choose another place by "
                "MODEL_DIET_OUTPUTS=DIR, or for one run by hydra.run.dir=DIR."
            ) from error
        os.close(descriptor)  # of a run that was released meanwhile


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _named(run: Path) -> Holder:
    """The process that the file names; a holder writes it a moment after it got the lock."""
    try:
        return Holder(**json.loads((run / LOCK).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return Holder(None, None)


@atexit.register
def _release_all() -> None:
    for run in list(_held):
        release(run)
