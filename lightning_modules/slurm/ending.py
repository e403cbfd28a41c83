"""A job that SLURM is about to end: it hears of it, and so do the processes that it started.

Those die of what the job itself is only told. What then goes wrong in it is no failure of its run,
which may be begun anew in the same folder: the job leaves without a word.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.hydra_config import HydraConfig

from lightning_modules.errors import JobEnded
from lightning_modules.files import write_text
from lightning_modules.runs import FAILED
from lightning_modules.slurm.controller import SilentControllerError, ask, requeue
from lightning_modules.slurm.job_record import own_job

ON_ITS_WAY = 1.0  # seconds within which a signal reaches all processes of a job
_ends: list[str] = []  # why this process does, once it is known


def hear(limit: int) -> None:
    """Lets this process, a job's, end at SIGTERM: requeued, unless it was cancelled.

    SIGUSR2 is submitit's to hear. Processes that read images hear of it, too, and are not to heed.

    Args:
        limit: how often a job may be requeued.
    """

    def terminate(number: int, frame: Any) -> None:
        if not _ends:
            end(limit, cancelled=not _runs(own_job()))

    signal.signal(signal.SIGTERM, terminate)
    os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN))


def end(limit: int, *, cancelled: bool = False) -> NoReturn:
    """Ends this job; it is requeued where it was neither cancelled nor begun too often.

    Raises:
        JobEnded: always; the run keeps its last whole epoch.
    """
    _ends.append("by SLURM")
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # processes that end now are no accident
    job = own_job()
    if cancelled:
        sentence = "SLURM ends this job."
    elif restarts() < limit:
        agreed = job is not None and requeue(job)
        sentence = f"SLURM ends this job; {'it is requeued' if agreed else 'no requeue by it'}."
    else:
        sentence = too_often(limit)
        if HydraConfig.initialized():
            folder = Path(HydraConfig.get().runtime.output_dir)
            write_text(folder / FAILED, f"{sentence}\n")
    print(sentence, file=sys.stderr, flush=True)
    raise JobEnded(1)


def leave_if_ended() -> None:
    """For a job whose run failed, before it says so: perhaps only because SLURM ends the job.

    Raises:
        JobEnded: it does.
    """
    if own_job() is None:
        return
    if not _ends:
        time.sleep(ON_ITS_WAY)  # a process of its own may have died of the signal first
    if _ends:
        raise JobEnded(1)


def restarts() -> int:
    """How often SLURM has begun this job anew."""
    return int(os.environ.get("SLURM_RESTART_COUNT", "0"))


def too_often(limit: int) -> str:
    """Why a job is not requeued any more."""
    return (
        f"The job was preempted, or reached its time limit, {limit + 1} times; raise "
        "hydra.launcher.timeout_min or hydra.launcher.max_num_timeout."
    )


def _runs(job: str | None) -> bool:
    """Whether SLURM wants a job to run: it is only told of its end, as by a grace time."""
    try:
        found = ask([] if job is None else [job])
    except SilentControllerError:
        return False
    return job in found and found[job].state == "RUNNING"
