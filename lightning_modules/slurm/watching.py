"""Whether jobs live, asked often by many and of the controller seldom."""

import time
from enum import Enum
from functools import cache

from lightning_modules.slurm.controller import JobInfo, SilentControllerError, ask, present

INTERVAL = 5.0  # seconds for which an answer holds
MAX_SILENCE = 30 * 60.0  # seconds without an answer, after which nothing is known
# Ends after which the launcher has the same job run again, within the next seconds.
REQUEUED = frozenset({"BOOT_FAIL", "NODE_FAIL", "PREEMPTED", "TIMEOUT"})
REQUEUE_WITHIN = 60.0  # seconds


class JobState(Enum):
    """What matters of a job to whoever waits for it."""

    ALIVE = "it works, or waits to; or the controller is away for a while"
    ENDED = "it will not run again"
    UNKNOWN = "SLURM has forgotten it, or there is no SLURM here"


class Watcher:
    """One question for all jobs that are asked for, at most once in an interval."""

    def __init__(self) -> None:
        self.wanted: set[str] = set()  # asked for since the last question for all
        self.known: dict[str, JobInfo | None] = {}  # its answers; None: forgotten
        self.asked = float("-inf")  # when, by the monotonic clock
        self.silent_since: float | None = None
        self.requeued_until: dict[str, float] = {}

    def state(self, job: str) -> JobState:
        """The state of a job, as of a few seconds ago at most."""
        now = time.monotonic()
        if now - self.asked >= INTERVAL:
            self.known = self._answers({*self.wanted, job}, now)
            self.asked, self.wanted = now, set()
        elif job not in self.known:
            self.known |= self._answers({job}, now)
        self.wanted.add(job)
        if self.silent_since is not None:
            silent = now - self.silent_since >= MAX_SILENCE
            return JobState.UNKNOWN if silent else JobState.ALIVE
        found = self.known[job]
        if found is None:
            return JobState.UNKNOWN
        if found.state in REQUEUED:
            until = self.requeued_until.setdefault(job, now + REQUEUE_WITHIN)
            return JobState.ALIVE if now < until else JobState.ENDED
        self.requeued_until.pop(job, None)
        return JobState.ENDED if found.ended else JobState.ALIVE

    def _answers(self, jobs: set[str], now: float) -> dict[str, JobInfo | None]:
        """What the controller says of jobs; nothing of any while it is silent."""
        try:
            found = ask(jobs)
        except SilentControllerError:
            self.silent_since = now if self.silent_since is None else self.silent_since
            return dict.fromkeys(jobs)
        self.silent_since = None
        return {job: found.get(job) for job in jobs}


@cache
def _watcher() -> Watcher:
    return Watcher()


def job_state(job: str) -> JobState:
    """Whether a SLURM job lives. Never raises."""
    return _watcher().state(job) if present() else JobState.UNKNOWN
