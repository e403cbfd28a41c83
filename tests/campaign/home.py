"""Where one run of the campaign lives: a folder of its own, on a small disk that can be filled."""

import ctypes
import os
import resource
import shutil
from pathlib import Path

AMPLE = 256 << 20  # bytes of a disk that is not full; memory is only used by what is written
PAGE = 4096  # bytes that a file takes at least
PARTIAL = (".part", ".tmp", ".old", ".partial")  # in the names of what is not whole yet
REMOUNT, DETACH = 32, 2  # of <sys/mount.h>: MS_REMOUNT, MNT_DETACH

_libc = ctypes.CDLL(None, use_errno=True)


class Home:
    """One run's outputs, caches, data and temporary files.

    Args:
        root: A folder that does not exist yet.
        disk: Whether it is a file system of its own, which only root can make (`can_mount`).

    Attributes:
        environment: What the programs are told.
        said: What the programs print, outside of that disk.
        clock: Seconds that the clock is off by, for the programs that start from now on.
    """

    def __init__(self, root: Path, *, disk: bool):
        self.root = root
        self.disk = disk
        self.clock = 0
        self.said = root.with_name(f"{root.name}.said")
        places = {key: str(root / key) for key in ("outputs", "cache", "data", "found")}
        self.environment = {f"MODEL_DIET_{key.upper()}": path for key, path in places.items()}
        self.environment |= {"TMPDIR": str(root / "tmp"), "NO_PROXY": "127.0.0.1"}

    def __enter__(self) -> "Home":
        self.root.mkdir(parents=True)
        if self.disk:
            _mount(self.root, AMPLE)
        (self.root / "tmp").mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        remove(self.root)
        self.said.unlink(missing_ok=True)

    def fill(self, pid: int, room: int) -> str:
        """Leaves so many bytes of room; returns the means.

        Where no disk can be made, no file of the process may grow beyond `room` instead.
        """
        if self.disk:
            used = shutil.disk_usage(self.root).used
            _mount(self.root, max(used + room, PAGE) // PAGE * PAGE, REMOUNT)
            return "tmpfs"
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (room, room))
        return "RLIMIT_FSIZE"

    def make_room(self) -> None:
        """Ends what `fill` began, for the programs that start from now on."""
        if self.disk:
            _mount(self.root, AMPLE, REMOUNT)

    def partial_files(self, of: int | None = None) -> list[str]:
        """What holds space and is not whole, but for the system's own temporary folder.

        Args:
            of: Only what this process wrote.
        """
        found = [path.relative_to(self.root) for path in self.root.rglob("*")]
        return sorted(
            str(path)
            for path in found
            if path.parts[0] != "tmp"
            and any(word in path.name for word in PARTIAL)
            and (of is None or f".{of}." in path.name)
        )


def can_mount(folder: Path) -> bool:
    """Whether this account may make file systems; tried on a folder that does not exist yet."""
    folder.mkdir(parents=True)
    try:
        _mount(folder, PAGE)
    except OSError:
        return False
    finally:
        remove(folder)
    return True


def remove(root: Path) -> None:
    """Removes a home, also one that a campaign left which was ended."""
    while os.path.ismount(root):
        if _libc.umount2(bytes(root), DETACH):
            raise OSError(ctypes.get_errno(), f"{root} cannot be unmounted")
    shutil.rmtree(root, ignore_errors=True)


def _mount(folder: Path, size: int, flags: int = 0) -> None:
    options = f"size={size}".encode()
    if _libc.mount(b"campaign", bytes(folder), b"tmpfs", flags, options):
        raise OSError(ctypes.get_errno(), f"{folder}: {os.strerror(ctypes.get_errno())}")
