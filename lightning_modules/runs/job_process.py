"""What a job's process owes the command that started it: to end with it, and to be able to fork."""

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Mapping
from typing import Any

from lightning_modules.runs.processes import lives, this_process

LEADER = "MODEL_DIET_LEADER"  # environment variable: the command's process, handed down by it
LOKY = "loky"  # joblib's processes start others by this method, for which torch's are not made


def lead() -> None:
    """Makes this process the one that jobs started from here end with."""
    os.environ[LEADER] = json.dumps(this_process())


def follow() -> None:
    """Lets a job's process end when its command is gone, and start processes as any other does.

    A killed command tells nobody: within two seconds the process kills itself, as by the same
    signal, for which a run's files are made. Jobs of SLURM live on, and so do those on other hosts.
    Does nothing in the command's own process.
    """
    if (multiprocessing.get_start_method(allow_none=True) or "").startswith(LOKY):
        multiprocessing.set_start_method(None, force=True)
    leader = json.loads(os.environ.get(LEADER, "null"))
    if os.environ.get("SUBMITIT_EXECUTOR") == "slurm" or lives(leader) is None:
        return
    if leader and leader["pid"] != os.getpid() and os.getpid() not in _followers:
        _followers.add(os.getpid())
        threading.Thread(target=_end_with, args=(leader,), daemon=True).start()


_followers: set[int] = set()  # this process, once it follows; a forked one is another


def _end_with(leader: Mapping[str, Any]) -> None:
    while lives(leader):
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)
