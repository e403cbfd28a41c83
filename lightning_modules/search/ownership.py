"""Which process works on a trial, and whether it still lives."""

import functools
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

OWNER = "owner"  # the trial's user attribute


def this_process() -> dict[str, Any]:
    """Host, process id and start time: what a trial remembers of who started it."""
    return {"host": platform.node(), "pid": os.getpid(), "start": start_of(os.getpid())}


def lives(owner: dict[str, Any] | None) -> bool | None:
    """Whether a trial's owner still runs; None where it runs, or ran, on another host.

    A process id is given again after a while, so the start time must be the same too.
    """
    if not owner:
        return False
    if owner["host"] != platform.node():
        return None
    start = start_of(owner["pid"])
    return start is not None and start == owner["start"]


def start_of(pid: int) -> str | None:
    """When a process of this host was started, in a form that differs between boots; None: gone."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = stat.read_text().rpartition(")")[2].split()  # the name may hold blanks
        except OSError:
            return None
        # A zombie has ended; it only waits for its parent to notice.
        return None if fields[0] in "ZX" else f"{_boot()}:{fields[19]}"
    done = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
    )
    return done.stdout.strip() or None


@functools.cache
def _boot() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""
