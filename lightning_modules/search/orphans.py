"""Ending trials whose process is gone: told what their runs left behind, or else replaced."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from optuna import Study, Trial
from optuna.trial import FrozenTrial, TrialState

from lightning_modules.errors import ConfigError
from lightning_modules.files import read_json, read_yaml
from lightning_modules.runs import FAILED, failure_of, held, missing_parts, read_metrics
from lightning_modules.search.liveness import Tended, Watch
from lightning_modules.search.objectives import directions_of, objectives_of, penalties
from lightning_modules.search.opened_study import trial_of
from lightning_modules.search.ownership import open_trial, take_over
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

OVERRIDES = Path(".hydra", "overrides.yaml")  # in a trial's folder: the words of its job


def finish_orphans(study: Study, root: DictConfig, watch: Watch) -> list[FrozenTrial]:
    """Ends running trials that nobody tends; returns all trials as they are then.

    A trial whose run was whole when its process ended is told its metrics: nothing is lost and
    nothing done twice. One that only lacks its end is left for `take_over_one`. One that raised
    counts as that; any other is marked failed, and replaced. One that is only silent is replaced,
    too, but stays open: its process may come back, and tell.

    Args:
        study: its sampler must draw nothing by itself.
        root: the composed search.
        watch: what has been seen of its trials until now.
    """
    trials, ended = study.get_trials(deepcopy=False), False
    for one in trials:
        if one.state != TrialState.RUNNING:
            continue
        seen = watch.look(one, _folder(root, one))
        if one.number in root.sweep.mark_failed:
            seen = Tended.NO
        if seen is Tended.NO and lacks_its_end(_folder(root, one)):
            continue
        if seen is not Tended.YES:
            ended |= _finish(study, one, root, seen)
    return study.get_trials(deepcopy=False) if ended else trials


def lacks_its_end(run: Path) -> bool:
    """Whether a trial is trained and measured, and its own job can make what is missing."""
    try:
        return bool(missing_parts(run)) and (run / OVERRIDES).is_file()
    except ConfigError:
        return False


def take_over_one(study: Study, root: DictConfig, watch: Watch) -> tuple[Trial, list[str]] | None:
    """A trial that was killed in its end, now tended by this process, and its job's overrides.

    Whoever holds its folder is the only one to take it.
    """
    for one in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        run = _folder(root, one)
        if not lacks_its_end(run) or watch.look(one, run) is not Tended.NO:
            continue
        trial = open_trial(study, one)
        with suppress(ConfigError), held(run):  # else another process works there
            if watch.look(trial_of(study, one.number), run) is not Tended.NO:
                continue
            take_over(trial)
            return trial, [*read_yaml(run / OVERRIDES), f"hydra.sweep.subdir=trials/{one.number}"]
    return None


def _folder(root: DictConfig, trial: FrozenTrial) -> Path:
    return trial_folder(Path(root.hydra.sweep.dir), trial.number)


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
