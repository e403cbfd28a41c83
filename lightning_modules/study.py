"""Searches: what `-m hydra/sweeper=optuna` does when nothing else is said."""

from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins


def register_sweeper_defaults() -> None:
    """Lets the Optuna sweeper take its space, direction and budget from `conf/sweep/`.

    The plugin's own node is stored again as a subclass whose fields are interpolations; Hydra
    refuses a YAML file of the same name. Without the plugin's class nothing would be searched,
    so a missing plugin is an ImportError.
    """
    Plugins.instance()  # the plugin stores its node when it is found; ours must come after
    from hydra_plugins.hydra_optuna_sweeper.config import OptunaSweeperConf

    @dataclass
    class StudyConf(OptunaSweeperConf):
        params: Any = "${sweep.params}"
        direction: Any = "${sweep.direction}"
        n_trials: Any = "${sweep.n_trials}"
        n_jobs: Any = "${sweep.parallel}"
        max_failure_rate: Any = "${sweep.max_failure_rate}"
        storage: Any = "sqlite:///${hydra.sweep.dir}/study.db"
        study_name: Any = "${sweep.name}_${run_name:}"

    ConfigStore.instance().store(
        group="hydra/sweeper", name="optuna", node=StudyConf, provider="model_diet"
    )
