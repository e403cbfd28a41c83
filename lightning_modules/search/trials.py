"""A study's trials: which of them count, which are best, whose they are, what they left."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from lightning_modules.errors import ConfigError
from lightning_modules.files import read_json, write_text
from lightning_modules.runs import FAILED, failure_of
from lightning_modules.schema import is_number
from lightning_modules.search.objectives import checked_values
from lightning_modules.search.ownership import OWNER, lives, this_process

RETIRED = "retired"  # user attribute: why the trial, marked failed, does not count
VIOLATION = "violation"  # user attribute: how far its network is over the limits
FAILURE = "failure"  # user attribute: why it has no value
PRUNED = "stopped after epoch"  # user attribute of a trial that pruning ended
METRICS = "figures"  # user attribute: what it measured; called so in studies that exist
KEPT = ("val/f1", "val/accuracy", "cost/", "score/", "test/f1")  # beginnings of kept metrics


def counts(trial: FrozenTrial) -> bool:
    """Whether a trial is one of the n: finished, raised, or still at work."""
    if trial.state == TrialState.RUNNING:
        return RETIRED not in trial.user_attrs
    return trial.state == TrialState.COMPLETE or (
        trial.state == TrialState.FAIL and RETIRED not in trial.user_attrs
    )


def violation_of(trial: FrozenTrial) -> float:
    """How far a trial's network is over the limits, as a fraction of them; 0 within."""
    return float(trial.user_attrs.get(VIOLATION, 0.0))


def best_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Within the limits: all best first for one objective, the Pareto front for several."""
    good = feasible(study.get_trials(deepcopy=False))
    signs = [1 if direction.name == "MINIMIZE" else -1 for direction in study.directions]
    costs = {t.number: [s * v for s, v in zip(signs, t.values, strict=True)] for t in good}
    if len(signs) == 1:
        return sorted(good, key=lambda t: (costs[t.number], t.number))
    return [t for t in good if not any(_dominates(costs[o.number], costs[t.number]) for o in good)]


def feasible(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """Finished ones that were trained and met the limits."""
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return [trial for trial in done if not violation_of(trial)]


def _dominates(one: list[float], other: list[float]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def is_orphan(trial: FrozenTrial) -> bool:
    """Whether no process works on a running trial; on another host there may be one."""
    return trial.state == TrialState.RUNNING and lives(trial.user_attrs.get(OWNER)) is False


def elsewhere(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Trials at work in other processes, or on hosts that cannot be seen from here."""
    running = [trial for trial in trials if trial.state == TrialState.RUNNING]
    return [t for t in running if OWNER in t.user_attrs and not is_orphan(t)]


def new_trial(**system_attrs: Any) -> FrozenTrial:
    """A running trial of this process, without parameters yet."""
    return FrozenTrial(
        number=-1,  # the storage's to give
        state=TrialState.RUNNING,
        value=None,
        datetime_start=datetime.now(),
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs={OWNER: this_process()},
        system_attrs=system_attrs,
        intermediate_values={},
        trial_id=-1,
    )


def trial_folder(study_folder: Path, number: int) -> Path:
    """Where a trial's run lies."""
    return study_folder / "trials" / str(number)


def finish_orphans(study: optuna.Study, folder: Path, names: list[str], gone: list[int]) -> None:
    """Finishes running trials that no process owns.

    A trial whose run was whole when its process ended is told its metrics: nothing is lost and
    nothing done twice. One that raised counts as that; any other is marked failed, and replaced.

    Args:
        folder: of the study.
        names: of the objectives.
        gone: numbers of trials of other hosts that the user says are dead.
    """
    for trial in study.get_trials(deepcopy=False):
        if is_orphan(trial) or (trial.state == TrialState.RUNNING and trial.number in gone):
            _finish(study, trial, trial_folder(folder, trial.number), names)


def _finish(study: optuna.Study, trial: FrozenTrial, folder: Path, names: list[str]) -> None:
    storage = study._storage
    values = _values_left(folder, names)
    if values is not None:
        storage.set_trial_user_attr(trial._trial_id, METRICS, metrics_left(folder))
        study.tell(trial.number, values)
        return
    if (folder / FAILED).is_file():
        storage.set_trial_user_attr(trial._trial_id, FAILURE, failure_of(folder))
        study.tell(trial.number, state=TrialState.FAIL)
    else:
        mark_failed(study, trial, "its process ended", folder)


def mark_failed(study: optuna.Study, trial: FrozenTrial | Trial, why: str, folder: Path) -> None:
    """Takes a trial out of the n; another one will replace it.

    In this order: whoever is killed in between leaves an orphan that does not count.
    """
    study._storage.set_trial_user_attr(trial._trial_id, RETIRED, why)
    study.tell(trial.number, state=TrialState.FAIL)
    if folder.is_dir():
        write_text(folder / FAILED, f"{why}; another trial replaces this one\n")


def _values_left(folder: Path, names: list[str]) -> list[float] | None:
    try:
        metrics = read_json(folder / "metrics.json")
        return checked_values([metrics.get(name) for name in names], names)
    except (OSError, ValueError, ConfigError):
        return None


def metrics_left(folder: Path) -> dict[str, Any]:
    """What a trial's run measured, as far as a study keeps it."""
    try:
        metrics = read_json(folder / "metrics.json")
    except (OSError, ValueError):
        return {}
    found = {k: v for k, v in metrics.items() if k.startswith(KEPT) and k.count("/") == 1}
    return {k: v for k, v in found.items() if is_number(v)}
