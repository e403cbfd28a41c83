"""A study's trials: which of them count, which are best, how they end and what they left."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from optuna import Study, Trial
from optuna.trial import FrozenTrial, TrialState

from lightning_modules.errors import ConfigError
from lightning_modules.files import read_json, remove_parts, write_text
from lightning_modules.reporting import TrialRecord, write_trials
from lightning_modules.runs import FAILED, STOPPED, read_metrics
from lightning_modules.schema import is_number
from lightning_modules.search.objectives import checked_values
from lightning_modules.search.trial_job import OVER_LIMITS

# User attributes; studies that exist have them by these names.
RETIRED = "retired"  # why the trial, marked failed, does not count
VIOLATION = "violation"  # how far its network is over the limits
FAILURE = "failure"  # why it has no value
PRUNED = "stopped after epoch"  # of a trial that pruning ended
METRICS = "figures"  # what it measured

DIED = "its process ended"  # a reason of RETIRED
LATE = "another worker was faster"  # another one: nothing was done in it
# What is said where no trial can be at fault: the disk is full, damaged, or gone, or the database.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE)
OUTSIDE = (*(os.strerror(code) for code in _DISK), "The study's storage ")
KEPT = ("val/f1", "val/accuracy", "cost/", "score/", "test/f1")  # beginnings of kept metrics


def counts(trial: FrozenTrial) -> bool:
    """Whether a trial is one of the n: finished, raised, or still at work."""
    return trial.state == TrialState.COMPLETE or (
        trial.state in (TrialState.RUNNING, TrialState.FAIL) and RETIRED not in trial.user_attrs
    )


def violation_of(trial: FrozenTrial) -> float:
    """How far a trial's network is over the limits, as a fraction of them; 0 within."""
    return float(trial.user_attrs.get(VIOLATION, 0.0))


def feasible(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """Finished ones that were trained and met the limits."""
    return [t for t in trials if t.state == TrialState.COMPLETE and not violation_of(t)]


def best_trials(study: Study) -> list[FrozenTrial]:
    """Within the limits: all best first for one objective, the Pareto front for several."""
    good = feasible(study.get_trials(deepcopy=False))
    directions = [direction.name.lower() for direction in study.directions]
    if len(directions) > 1:
        return best_of(good, directions)
    return sorted(good, key=lambda trial: (_losses(trial, directions), trial.number))


def best_of(trials: list[FrozenTrial], directions: list[str]) -> list[FrozenTrial]:
    """Those that no other one is better than in all objectives, by number; of one, the first."""
    front: list[tuple[list[float], FrozenTrial]] = []
    for losses, trial in sorted(((_losses(t, directions), t) for t in trials), key=_by_losses):
        # Whoever comes later is not better in all of them.
        if not any(_dominates(other, losses) for other, _ in front):
            front.append((losses, trial))
    best = [trial for _, trial in front]
    return sorted(best, key=lambda trial: trial.number) if len(directions) > 1 else best[:1]


def _losses(trial: FrozenTrial, directions: list[str]) -> list[float]:
    signs = [1 if direction == "minimize" else -1 for direction in directions]
    return [sign * value for sign, value in zip(signs, trial.values, strict=True)]


def _by_losses(one: tuple[list[float], FrozenTrial]) -> tuple[list[float], int]:
    return one[0], one[1].number


def _dominates(losses: list[float], others: list[float]) -> bool:
    return losses != others and all(a <= b for a, b in zip(losses, others, strict=True))


def record_of(trial: FrozenTrial) -> TrialRecord:
    """A trial as plain data."""
    found = trial.user_attrs
    return TrialRecord(
        number=trial.number,
        values=trial.values if trial.state == TrialState.COMPLETE else (),
        state=state_of(trial),
        params=trial.params,
        metrics=found.get(METRICS, {}),
        over_limits=found.get(VIOLATION),
        stopped_after=found.get(PRUNED),
        seconds=trial.duration.total_seconds() if trial.duration else None,
        reason=found.get(FAILURE, found.get(RETIRED, "")),
    )


def state_of(trial: FrozenTrial) -> str:
    """The state in one word, as `TrialRecord` explains them."""
    if trial.state == TrialState.COMPLETE:
        if violation_of(trial):
            return "refused"
        return "stopped" if PRUNED in trial.user_attrs else "finished"
    if RETIRED in trial.user_attrs:
        return "retired"
    return "failed" if trial.state == TrialState.FAIL else "running"


def records_of(study: Study) -> list[TrialRecord]:
    """All trials as plain data, by number, but for those in which nothing was done."""
    trials = study.get_trials(deepcopy=False)
    return [record_of(trial) for trial in trials if trial.user_attrs.get(RETIRED) != LATE]


def write_table(study: Study, folder: Path) -> Path:
    """Writes `trials.csv` anew, in one piece; returns its path."""
    return write_trials(records_of(study), study.user_attrs["objectives"], folder)


def trial_folder(study_folder: Path, number: int) -> Path:
    """Where a trial's run lies."""
    return study_folder / "trials" / str(number)


def metrics_left(folder: Path) -> dict[str, Any]:
    """What a trial's run measured, as far as a study keeps it."""
    try:
        metrics = read_metrics(folder)
    except (OSError, ConfigError):
        return {}
    found = {k: v for k, v in metrics.items() if k.startswith(KEPT) and k.count("/") == 1}
    return {k: v for k, v in found.items() if is_number(v)}


def end_trial(study: Study, trial: Trial, run: Path, returned: Any, names: list[str]) -> bool:
    """Tells a study what a trial's run returned, or raised, and left in its folder.

    Returns whether it has a value for each objective.
    """
    found = metrics_left(run)
    if (run / OVER_LIMITS).is_file():
        over = read_json(run / OVER_LIMITS)
        found |= over["costs"]
        trial.set_user_attr(VIOLATION, over["violation"])
    if (run / STOPPED).is_file():
        trial.set_user_attr(PRUNED, read_json(run / STOPPED)["epoch"])
    trial.set_user_attr(METRICS, found)
    try:
        if isinstance(returned, Exception):
            raise returned
        values = checked_values(returned, names)
    except Exception as error:
        mark_raised(study, trial, " ".join(str(error).split())[:1000], run)
        return False
    study.tell(trial, values)
    return True


def mark_raised(study: Study, trial: Trial, why: str | None, run: Path) -> None:
    """Ends a trial that has no value, but counts as one of the n.

    Unless the system failed it, as any other trial then: it is replaced.
    """
    if any(words in (why or "") for words in OUTSIDE):
        mark_failed(study, trial, str(why), run.parent.parent)
        return
    trial.set_user_attr(FAILURE, why)
    study.tell(trial, state=TrialState.FAIL)


def mark_failed(study: Study, trial: Trial, why: str, folder: Path) -> None:
    """Takes a trial out of the n; another one will replace it. `folder` is the study's.

    In this order: whoever is killed in between leaves an orphan that does not count.
    """
    trial.set_user_attr(RETIRED, why)
    study.tell(trial, state=TrialState.FAIL)
    if (run := trial_folder(folder, trial.number)).is_dir():
        with suppress(OSError):  # the disk may be full; the study knows it
            remove_parts(run)  # nobody will finish what was half-written there
            write_text(run / FAILED, f"{why}; another trial replaces this one\n")


@contextmanager
def unless_finished() -> Iterator[None]:
    """Leaves a trial as it is that another process has ended meanwhile: it is told once."""
    try:
        yield
    except (RuntimeError, ValueError) as error:  # of Optuna 2, and 5
        if "finished" not in str(error) and "Cannot tell a" not in str(error):
            raise
