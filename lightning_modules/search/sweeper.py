"""`StudySweeper`: Hydra's sweeper for `hydra/sweeper=optuna`."""

from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class StudySweeper(Sweeper):
    """Takes the place of the plugin's own, whose settings, grammar and samplers it keeps.

    The plugin runs `n_trials` more at each start, numbers its folders from 0 again, ends at a NaN
    and tells a trial nothing of itself.

    Args:
        settings: `hydra.sweeper`; read from the configuration, where samplers are not built yet.
    """

    def __init__(self, **settings: Any) -> None:
        self.root: DictConfig | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.root = config
        self.launcher = Plugins.instance().instantiate_launcher(
            config=config, hydra_context=hydra_context, task_function=task_function
        )

    def sweep(self, arguments: list[str]) -> None:
        """Runs the study; what it found is said by `CloseMultirun`."""
        from lightning_modules.search.worker import Worker  # Optuna: only for a search

        Path(self.root.hydra.sweep.dir).mkdir(parents=True, exist_ok=True)
        Worker(self.root, self.launcher).work()
