"""A study's trials: which of them count, which are best, how they end and what they left."""

from pathlib import Path
from typing import Any

from optuna import Study, Trial
from optuna.trial import FrozenTrial, TrialState

from lightning_modules.errors import ConfigError
from lightning_modules.files import read_json, write_text
from lightning_modules.reporting import TrialRecord, write_trials
from lightning_modules.runs import FAILED, STOPPED, failure_of, read_metrics
from lightning_modules.schema import is_number
from lightning_modules.search.objectives import checked_values
from lightning_modules.search.ownership import is_orphan, open_trial
from lightning_modules.search.trial_job import OVER_LIMITS

# User attributes; studies that exist have them by these names.
RETIRED = "retired"  # why the trial, marked failed, does not count
VIOLATION = "violation"  # how far its network is over the limits
FAILURE = "failure"  # why it has no value
PRUNED = "stopped after epoch"  # of a trial that pruning ended
METRICS = "figures"  # what it measured
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
    if len(study.directions) > 1:  # whoever is over the limits is dominated by all within
        return feasible(study.best_trials)
    sign = 1 if study.direction.name == "MINIMIZE" else -1
    good = feasible(study.get_trials(deepcopy=False))
    return sorted(good, key=lambda trial: (sign * trial.values[0], trial.number))


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
    if RETIRED in trial.user_attrs:
        return "retired"
    if trial.state == TrialState.COMPLETE:
        if violation_of(trial):
            return "refused"
        return "stopped" if PRUNED in trial.user_attrs else "finished"
    return "failed" if trial.state == TrialState.FAIL else "running"


def records_of(study: Study) -> list[TrialRecord]:
    """All trials as plain data, by number."""
    return list(map(record_of, study.get_trials(deepcopy=False)))


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


def finish_orphans(study: Study, folder: Path, names: list[str], gone: list[int]) -> None:
    """Finishes running trials that no process owns.

    A trial whose run was whole when its process ended is told its metrics: nothing is lost and
    nothing done twice. One that raised counts as that; any other is marked failed, and replaced.

    Args:
        study: its sampler must draw nothing by itself.
        folder: of the study.
        names: of the objectives.
        gone: numbers of trials of other hosts that the user says are dead.
    """
    running = [t for t in study.get_trials(deepcopy=False) if t.state == TrialState.RUNNING]
    for one in (one for one in running if is_orphan(one) or one.number in gone):
        trial, run = open_trial(study, one), trial_folder(folder, one.number)
        try:
            metrics = read_metrics(run)
        except (OSError, ConfigError):
            if (run / FAILED).is_file():
                mark_raised(study, trial, failure_of(run))
            else:
                mark_failed(study, trial, "its process ended", folder)
        else:
            end_trial(study, trial, run, [metrics.get(name) for name in names], names)


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
        mark_raised(study, trial, " ".join(str(error).split())[:1000])
        return False
    study.tell(trial, values)
    return True


def mark_raised(study: Study, trial: Trial, why: str | None) -> None:
    """Ends a trial that has no value, but counts as one of the n."""
    trial.set_user_attr(FAILURE, why)
    study.tell(trial, state=TrialState.FAIL)


def mark_failed(study: Study, trial: Trial, why: str, folder: Path) -> None:
    """Takes a trial out of the n; another one will replace it. `folder` is the study's.

    In this order: whoever is killed in between leaves an orphan that does not count.
    """
    trial.set_user_attr(RETIRED, why)
    study.tell(trial, state=TrialState.FAIL)
    if (run := trial_folder(folder, trial.number)).is_dir():
        write_text(run / FAILED, f"{why}; another trial replaces this one\n")
