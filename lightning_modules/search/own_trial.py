"""A trial, as its own job finds it in the study."""

from typing import Any

import optuna
from omegaconf import DictConfig, OmegaConf
from optuna.pruners import BasePruner

from lightning_modules.search.storage import open_storage


def own_trial(cfg: DictConfig, hydra: DictConfig, pruner: BasePruner | None = None) -> optuna.Trial:
    """The trial that a job is, from the study's storage.

    Args:
        cfg: of the trial; `trial` is its number.
        hydra: its `hydra` node, which names study and storage.
        pruner: decides for it.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.load_study(
        hydra.sweeper.study_name,
        open_storage(hydra.sweeper.storage),
        sampler=optuna.samplers.RandomSampler(),  # has nothing to draw here
        pruner=pruner,
    )
    trial_id = study._storage.get_trial_id_from_study_id_trial_number(study._study_id, cfg.trial)
    return optuna.Trial(study, trial_id)


def trial_facts(cfg: DictConfig, hydra: DictConfig) -> dict[str, Any]:
    """What a logger should know of a trial: its study, number, parameters and objectives."""
    objectives = OmegaConf.to_container(OmegaConf.create({"names": cfg.objective}))["names"]
    return {
        "study": hydra.sweeper.study_name,
        "trial": cfg.trial,
        "params": dict(own_trial(cfg, hydra).params),
        "objectives": [objectives] if isinstance(objectives, str) else objectives,
    }
