"""Waiting for jobs: by the results they leave, and by what the controller says of them."""

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path

from lightning_modules.slurm.controller import JobInfo, SilentControllerError, ask, cancel, requeue
from lightning_modules.slurm.errors import SubmissionError
from lightning_modules.slurm.watching import REQUEUED

log = logging.getLogger(__name__)

NOT_STARTED = "NOT_STARTED"  # a state of our own: of a job that waited for too long
GRACE = 5.0  # seconds until a result that was written elsewhere must be seen here
TICK, MAX_INTERVAL = 1.0, 15.0  # seconds between looks at the results; between questions
QUIET = 60.0  # seconds that a job may wait without a word


@dataclass(frozen=True)
class Limits:
    """How long to wait, in seconds; a job's run has SLURM's own limit.

    Attributes:
        pending: for a job's start; None: for ever.
        silent: for an answer of the controller.
    """

    pending: float | None
    silent: float


@dataclass
class _Waiting:
    """One job that has not ended."""

    result: Path
    pending_since: float | None = None
    ended_since: float | None = None
    said: set[str] = field(default_factory=set)


def wait_for(results: dict[str, Path], limits: Limits) -> dict[str, JobInfo | None]:
    """How each job ended; None: SLURM has forgotten it.

    A job that left its result has ended, whatever the controller says. One that SLURM ended for
    a reason of its own is requeued, as often as the job itself allows.

    Args:
        results: job -> the file that it writes last.
        limits: of the waiting.

    Raises:
        SubmissionError: the controller is silent for too long.
    """
    waiting = {job: _Waiting(result) for job, result in results.items()}
    ends: dict[str, JobInfo | None] = {}
    begun = heard = time.monotonic()
    asked = float("-inf")
    while waiting:
        for job in [job for job, one in waiting.items() if _is_there(one.result)]:
            ends[job] = JobInfo("COMPLETED")
            del waiting[job]
        now = time.monotonic()
        if waiting and now - asked >= min(MAX_INTERVAL, max(TICK, (now - begun) / 4)):
            asked = now
            try:
                known, heard = ask(waiting), now
            except SilentControllerError as error:
                if now - heard > limits.silent:
                    raise SubmissionError(
                        f"SLURM's controller has not answered for {limits.silent / 60:.0f} minutes "
                        f"({error}); jobs {', '.join(waiting)} go on, and the same command takes "
                        "them over."
                    ) from None
                known = {}
            else:
                ends |= _ended(waiting, known, limits.pending)
        if waiting:
            time.sleep(TICK)
    return ends


def _is_there(file: Path) -> bool:
    """Whether a file exists; a listing makes a network drive look anew."""
    return file.parent.is_dir() and file.name in {path.name for path in file.parent.iterdir()}


def _ended(
    waiting: dict[str, _Waiting], known: dict[str, JobInfo], max_pending: float | None
) -> dict[str, JobInfo | None]:
    """Takes out jobs that leave no result any more."""
    ends: dict[str, JobInfo | None] = {}
    now = time.monotonic()
    for job, one in list(waiting.items()):
        found = known.get(job)
        if found is not None and found.state in REQUEUED and requeue(job):
            log.warning(f"SLURM job {job} ended as {found.state}; it goes on from its folder")
            one.ended_since = None
        elif found is not None and not found.ended:
            one.ended_since = None
            if _waits_too_long(job, one, found, max_pending):
                cancel([job])
                ends[job] = JobInfo(NOT_STARTED, found.reason)
        elif one.ended_since is None:
            one.ended_since = now
        elif now - one.ended_since >= GRACE:
            ends[job] = found
    for job in ends:
        del waiting[job]
    return ends


def _waits_too_long(job: str, one: _Waiting, found: JobInfo, max_pending: float | None) -> bool:
    """Whether a job has not started in time; says once what it waits for."""
    if found.state not in ("PENDING", "REQUEUE_HOLD", "SPECIAL_EXIT", "SUSPENDED"):
        one.pending_since = None
        return False
    now = time.monotonic()
    one.pending_since = now if one.pending_since is None else one.pending_since
    waited = now - one.pending_since
    if waited >= QUIET and found.reason not in one.said:
        one.said.add(found.reason)
        log.info(f"SLURM job {job} waits ({found.reason})")
    return max_pending is not None and waited >= max_pending
