"""How a study stands while it goes on: its records, its best trials, its table."""

import time
from collections.abc import Sequence
from pathlib import Path

from optuna import Study
from optuna.trial import FrozenTrial

from lightning_modules.reporting import TrialRecord, progress, result, write_trials
from lightning_modules.search.trials import best_of, feasible, record_of

SHARE = 0.05  # of the time, at most, for writing the table


class Standing:
    """Kept up to date at the cost of what is new: trials that ended never change.

    Args:
        study: whose trials are seen.
        folder: of the study, for its table.
    """

    def __init__(self, study: Study, folder: Path) -> None:
        self.names, self.folder = list(study.user_attrs["objectives"]), folder
        self.directions = [direction.name.lower() for direction in study.directions]
        self._ended: dict[int, TrialRecord] = {}
        self._best: list[FrozenTrial] = []
        self._due = 0.0

    def line(self, trials: Sequence[FrozenTrial], number: int, asked: int) -> str:
        """`trial 7  val/f1 0.8123  |  8 of 30  |  best 0.8301 (trial 3)`."""
        records = self._records(trials)
        best = list(map(record_of, self._best))
        words = f"trial {number}  {result(records[number], self.names)}"
        return f"{words}  |  {progress(records, best, asked)}"

    def write(self, trials: Sequence[FrozenTrial], *, at_once: bool = True) -> None:
        """Writes `trials.csv` anew, in one piece; not at once where that was done just now."""
        start = time.monotonic()
        if at_once or start >= self._due:
            write_trials(self._records(trials), self.names, self.folder)
            self._due = time.monotonic() + (time.monotonic() - start) / SHARE

    def _records(self, trials: Sequence[FrozenTrial]) -> list[TrialRecord]:
        fresh = [t for t in trials if t.state.is_finished() and t.number not in self._ended]
        self._ended |= {trial.number: record_of(trial) for trial in fresh}
        self._best = best_of([*self._best, *feasible(fresh)], self.directions)
        return [self._ended.get(t.number) or record_of(t) for t in trials]
