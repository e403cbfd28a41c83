"""What a job of a search does besides its run: it owns its trial, and tells what came of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from optuna import Trial

from lightning_modules.errors import ConfigError
from lightning_modules.runs import this_process
from lightning_modules.search.objectives import objectives_of
from lightning_modules.search.opened_study import trial_of
from lightning_modules.search.ownership import HEARTBEAT, OWNER, beat, heartbeat
from lightning_modules.search.samplers import sampler_for
from lightning_modules.search.schema import chosen_sampler
from lightning_modules.search.storage import own_trial
from lightning_modules.search.trials import RETIRED, end_trial, unless_finished
from lightning_modules.slurm import leave_if_ended, own_job


class TrialTask:
    """The task function that any launcher gets of a search, in whatever process it runs a job.

    So a trial is told its value though the process that began it has ended meanwhile. A job that
    is interrupted tells nothing: it may be run again, in its own folder.

    Args:
        task: the whole run.
    """

    def __init__(self, task: Callable[[DictConfig], Any]) -> None:
        self.task = task

    def __call__(self, cfg: DictConfig) -> Any:
        """What the run returns.

        Raises:
            ConfigError: the trial was given up before the job began.
        """
        hydra = cast(DictConfig, HydraConfig.get())
        trial, names = _take(own_trial(hydra, cfg.trial)), objectives_of(cfg)
        trial.study.sampler = sampler_for(  # it is told how trials end
            chosen_sampler(hydra), number=cfg.trial, seed=cfg.seed, objectives=len(names)
        )
        with heartbeat(trial):
            try:
                returned = self.task(cfg)
            except Exception as error:
                leave_if_ended()
                returned = error
        with unless_finished():
            end_trial(trial.study, trial, Path(hydra.runtime.output_dir), returned, names)
        if isinstance(returned, Exception):
            raise returned
        return returned


def _take(trial: Trial) -> Trial:
    """Makes this process the owner of a trial, which others began."""
    one = trial_of(trial.study, trial.number)
    if one.state.is_finished() or RETIRED in one.user_attrs:
        raise ConfigError(f"trial {trial.number} was given up before its job began.")
    known = one.user_attrs.get(OWNER, {})
    owner = {"token": known.get("token"), **this_process(), "job": own_job()}
    trial.set_user_attr(OWNER, owner)
    trial.set_user_attr(HEARTBEAT, beat(0))
    return trial
