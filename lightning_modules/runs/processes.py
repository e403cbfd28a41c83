"""Who a process is, and whether it still runs: told apart by host, number and start time."""

import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """Host, process id and start time: what is remembered of who started or holds something."""
    return {"host": platform.node(), "pid": os.getpid(), "start": start_of(os.getpid())}


def lives(process: Mapping[str, Any] | None) -> bool | None:
    """Whether a process still runs; None where it runs, or ran, on another host.

    A process id is given again after a while, so the start time must be the same too.
    """
    if not process:
        return False
    if process["host"] != platform.node():
        return None
    start = start_of(process["pid"])
    return start is not None and start == process["start"]


def start_of(pid: int) -> str | None:
    """When a process of this host was started, in a form that differs between boots; None: gone."""
    if Path("/proc/self/stat").exists():  # Linux, where the times of `ps` follow the clock
        boot = Path("/proc/sys/kernel/random/boot_id")
        try:
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        # A zombie has ended; it only waits for its parent to notice.
        return None if stat[0] in "ZX" else f"{boot.exists() and boot.read_text()}:{stat[19]}"
    words = ["ps", "-o", "lstart=", "-p", str(pid)]
    environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    return done.stdout.strip() or None
