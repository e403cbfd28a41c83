"""Ending trials whose process is gone: told what their runs left behind, or else replaced."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from optuna import Study, Trial
from optuna.trial import FrozenTrial, TrialState

from lightning_modules.errors import ConfigError
from lightning_modules.files import read_json
from lightning_modules.runs import FAILED, failure_of, read_metrics
from lightning_modules.search.liveness import Tended, Watch
from lightning_modules.search.objectives import directions_of, objectives_of, penalties
from lightning_modules.search.opened_study import trial_of
from lightning_modules.search.ownership import open_trial
from lightning_modules.search.trial_job import OVER_LIMITS, limits_of, violation
from lightning_modules.search.trials import (
    DIED,
    RETIRED,
    VIOLATION,
    end_trial,
    mark_failed,
    mark_raised,
    trial_folder,
    unless_finished,
)


def finish_orphans(study: Study, root: DictConfig, watch: Watch) -> list[FrozenTrial]:
    """Ends running trials that nobody tends; returns all trials as they are then.

    A trial whose run was whole when its process ended is told its metrics: nothing is lost and
    nothing done twice. One that raised counts as that; any other is marked failed, and replaced.
    One that is only silent is replaced, too, but stays open: its process may come back, and tell.

    Args:
        study: its sampler must draw nothing by itself.
        root: the composed search.
        watch: what has been seen of its trials until now.
    """
    trials, ended = study.get_trials(deepcopy=False), False
    for one in trials:
        if one.state != TrialState.RUNNING:
            continue
        seen = watch.look(one, trial_folder(Path(root.hydra.sweep.dir), one.number))
        if one.number in root.sweep.mark_failed:
            seen = Tended.NO
        if seen is not Tended.YES:
            ended |= _finish(study, one, root, seen)
    return study.get_trials(deepcopy=False) if ended else trials


def _finish(study: Study, one: FrozenTrial, root: DictConfig, seen: Tended) -> bool:
    """Whether it changed anything; another worker may end the same trial."""
    trial, folder = open_trial(study, one), Path(root.hydra.sweep.dir)
    with unless_finished():
        if tell_what_is_left(study, trial, root):
            return True
        if seen is Tended.NO:
            mark_failed(study, trial, DIED, folder)
        elif RETIRED in one.user_attrs:
            return False
        else:
            trial.set_user_attr(RETIRED, f"silent for {root.sweep.silent_minutes:g} minutes")
    return True


def tell_what_is_left(study: Study, trial: Trial, root: DictConfig) -> bool:
    """Tells a trial what it was told in part, or its run's folder says; False without a word."""
    if (told := trial_of(study, trial.number).values) is not None:
        study.tell(trial, told)  # killed between the values and the state
        return True
    run, names = trial_folder(Path(root.hydra.sweep.dir), trial.number), objectives_of(root)
    metrics = _metrics(run)
    values: Any = [metrics.get(name) for name in names]
    over = violation(metrics, limits_of(root))
    if (run / OVER_LIMITS).is_file():
        over = read_json(run / OVER_LIMITS)["violation"]
    if over:
        trial.set_user_attr(VIOLATION, over)
        values = penalties(directions_of(root.hydra), over)
    if None not in values:
        end_trial(study, trial, run, values, names)
    elif (run / FAILED).is_file():
        mark_raised(study, trial, failure_of(run), run)
    else:
        return False
    return True


def _metrics(run: Path) -> dict[str, Any]:
    try:
        return read_metrics(run)
    except (OSError, ConfigError):
        return {}
