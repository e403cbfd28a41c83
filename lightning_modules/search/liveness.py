"""Which trials at work are still tended, as far as can be seen from here."""

import time
from enum import Enum
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from lightning_modules.runs import lives
from lightning_modules.search.ownership import BEAT_SECONDS, HEARTBEAT, OWNER, sweeper_of
from lightning_modules.slurm import JobState, job_of, job_state

MISSED_BEATS = 2.5  # after so many without a word a beat that is old is taken for the last one


class Tended(Enum):
    """What is known of a running trial."""

    YES = "by a process, or a job, that may tell it"
    SILENT = "nobody has been heard of for too long; yet somebody may come back"
    NO = "its process, or its job, has ended"


class Watch:
    """Looks after trials of this and other hosts for as long as it is kept.

    A heartbeat has the time of another host, whose clock may be wrong, and so may this one's. Old
    is a beat that has not changed for so long while it was watched; where its time says the same,
    some missed beats are enough.

    Args:
        silent_minutes: after which nobody is waited for any more.
    """

    def __init__(self, silent_minutes: float) -> None:
        self.patience = silent_minutes * 60  # seconds
        self._seen: dict[int, tuple[Any, float]] = {}  # the beat of a trial, and since when

    def look(self, trial: FrozenTrial, run: Path) -> Tended:
        """Whether a running trial is tended; `run` is its folder."""
        owner, sweeper = trial.user_attrs.get(OWNER, {}), sweeper_of(trial)
        if lives(owner) or lives(sweeper):
            return Tended.YES
        job = self._job(trial, run)
        if job is not JobState.UNKNOWN:
            return Tended.YES if job is JobState.ALIVE else Tended.NO
        if lives(owner) is False and lives(sweeper) is False:
            return Tended.NO
        return Tended.SILENT if self._is_silent(trial) else Tended.YES

    def is_left_alone(self, trial: FrozenTrial, run: Path) -> bool:
        """Whether a tended trial has no sweeper, so that whoever looks waits for it.

        Its sweeper has ended, or may have: it is an orphan of this host, a job of SLURM, or about
        to be given up as silent.
        """
        sweeper = lives(sweeper_of(trial))
        if sweeper is not None:
            return not sweeper
        return self.is_job(trial, run) or self._is_suspect(trial)

    def is_job(self, trial: FrozenTrial, run: Path) -> bool:
        """Whether a job of SLURM works on a trial, or will."""
        return self._job(trial, run) is JobState.ALIVE

    def _job(self, trial: FrozenTrial, run: Path) -> JobState:
        job = trial.user_attrs.get(OWNER, {}).get("job") or job_of(run)
        return JobState.UNKNOWN if job is None else job_state(job)

    def _is_silent(self, trial: FrozenTrial) -> bool:
        """Of earlier versions, which did not beat, nobody can tell."""
        if HEARTBEAT not in trial.user_attrs:
            return False
        enough = min(MISSED_BEATS * BEAT_SECONDS, self.patience)
        return self._unchanged(trial) >= (enough if self._is_old(trial) else self.patience)

    def _is_suspect(self, trial: FrozenTrial) -> bool:
        return HEARTBEAT in trial.user_attrs and (
            self._is_old(trial) or self._unchanged(trial) >= MISSED_BEATS * BEAT_SECONDS
        )

    def _is_old(self, trial: FrozenTrial) -> bool:
        return time.time() - trial.user_attrs[HEARTBEAT]["at"] >= self.patience

    def _unchanged(self, trial: FrozenTrial) -> float:
        """For how many seconds the same beat has been seen; of the steady clock of this host."""
        beat, now = trial.user_attrs[HEARTBEAT], time.monotonic()
        known, since = self._seen.get(trial.number, (None, now))
        self._seen[trial.number] = beat, (since if beat == known else now)
        return now - self._seen[trial.number][1]
