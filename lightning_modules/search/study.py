"""Studies: their names and folders, and what `-m hydra/sweeper=optuna` does by default."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from lightning_modules.config import hide_password, multirun_folder, searches
from lightning_modules.runs import joined

# Hydra takes plugins of this package only; nothing of that name is imported.
TARGET = "hydra_plugins.model_diet.StudySweeper"


class StudySweeper(Sweeper):
    """Takes the place of the plugin's own, whose settings, grammar and samplers it keeps.

    The plugin runs `n_trials` more at each start, numbers its folders from 0 again, ends at a NaN
    and tells a trial nothing of itself.
    """

    def __init__(self, **settings: Any) -> None:
        """Keeps nothing: `setup` gets the configuration, where samplers are not built yet."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Takes the composed multirun and makes its launcher."""
        from lightning_modules.search.trial_task import TrialTask  # Optuna: only for a search

        hide_password(config)
        self.root, task_function = config, TrialTask(task_function)
        self.launcher = Plugins.instance().instantiate_launcher(
            config=config, hydra_context=hydra_context, task_function=task_function
        )

    def sweep(self, arguments: list[str]) -> None:
        """Runs the study; what it found is said by `CloseMultirun`."""
        from lightning_modules.search.processes import run_study

        Path(self.root.hydra.sweep.dir).mkdir(parents=True, exist_ok=True)
        assert self.launcher is not None  # of `setup`
        run_study(self.root, self.launcher)


def register_sweeper_defaults() -> None:
    """Lets a search take its space, direction and budget from `conf/sweep/`.

    The plugin's own node is stored again as a subclass whose fields are interpolations; Hydra
    refuses a YAML file of the same name. Without the plugin's class nothing would be searched,
    so a missing plugin is an ImportError. `${study_folder:}` and `${study_name:}` become known.
    """
    plugins = Plugins.instance()  # the plugin stores its node when it is found; ours comes after
    from hydra_plugins.hydra_optuna_sweeper.config import OptunaSweeperConf, SamplerConfig

    @dataclass
    class SweepSampler(SamplerConfig):
        """Node of `hydra/sweeper/sampler=sweep`: the sampler that `sweep.sampler` names."""

        _target_: str = "lightning_modules.search.samplers.sampler_for"
        kind: Any = "${sweep.sampler}"
        seed: Any = None

    @dataclass
    class StudyConf(OptunaSweeperConf):
        """Node of `hydra/sweeper=optuna`: all settings from `sweep`."""

        _target_: str = TARGET
        _recursive_: bool = False  # each trial has a sampler of its own
        defaults: list[Any] = field(default_factory=lambda: [{"sampler": "sweep"}])
        params: Any = "${sweep.params}"
        direction: Any = "${sweep.direction}"
        n_trials: Any = "${sweep.n_trials}"
        n_jobs: Any = "${sweep.parallel}"
        max_failure_rate: Any = "${sweep.max_failure_rate}"
        custom_search_space: Any = "${sweep.custom_search_space}"
        storage: Any = "sqlite:///${hydra.sweep.dir}/study.db"
        study_name: Any = "${study_name:}"

    plugins.class_name_to_class[TARGET] = StudySweeper
    store = ConfigStore.instance().store
    store(group="hydra/sweeper", name="optuna", node=StudyConf, provider="model_diet")
    store(group="hydra/sweeper/sampler", name="sweep", node=SweepSampler, provider="model_diet")
    for key, value_of in (("study_folder", _folder_of), ("study_name", _name_of)):
        OmegaConf.register_new_resolver(key, _once(key, value_of), replace=True)


def _folder_of(root: DictConfig) -> str:
    if not searches(root):
        return str(multirun_folder(root))
    return str(Path(root.outputs_dir) / "studies" / joined([str(root.hydra.sweeper.study_name)]))


def _name_of(root: DictConfig) -> str:
    from lightning_modules.search.identity import study_name  # declared settings: for -m

    return study_name(root)


def _once(key: str, value_of: Callable[[DictConfig], str]) -> Callable[..., str]:
    """A resolver whose value stays: Hydra hands the cache on to trials, with their own models."""

    def resolve(*, _root_: DictConfig) -> str:
        known = OmegaConf.get_cache(_root_)[key]
        if "value" not in known:
            known["value"] = value_of(_root_)
        return known["value"]

    return resolve
