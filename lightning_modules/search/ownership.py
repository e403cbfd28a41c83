"""Trials at work: begun together with the process that works on them, and whether that lives.

The one place with a private name of Optuna, `FrozenTrial._trial_id`: a trial of `study.ask()` has
no owner yet, and whoever is killed then leaves one that nobody knows to be dead.
"""

import os
import platform
import subprocess
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from optuna import Study, Trial
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState, create_trial

OWNER = "owner"  # the trial's user attribute

warnings.filterwarnings("ignore", "(add|create)_trials? is", ExperimentalWarning)  # of Optuna 2


def begin_trial(study: Study, **attributes: Any) -> FrozenTrial:
    """A new running trial of this process, with further user attributes; no parameters yet."""
    owner = this_process()
    study.add_trial(create_trial(state=TrialState.RUNNING, user_attrs={OWNER: owner, **attributes}))
    own = (t for t in study.get_trials(deepcopy=False) if t.user_attrs.get(OWNER) == owner)
    return max(own, key=lambda trial: trial.number)


def open_trial(study: Study, trial: FrozenTrial) -> Trial:
    """A running trial to be drawn and told of; the study's sampler draws at once."""
    return Trial(study, trial._trial_id)


def is_orphan(trial: FrozenTrial) -> bool:
    """Whether no process works on a running trial; on another host there may be one."""
    return trial.state == TrialState.RUNNING and lives(trial.user_attrs.get(OWNER)) is False


def elsewhere(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Trials at work in other processes, or on hosts that cannot be seen from here."""
    running = [trial for trial in trials if trial.state == TrialState.RUNNING]
    return [t for t in running if OWNER in t.user_attrs and not is_orphan(t)]


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
