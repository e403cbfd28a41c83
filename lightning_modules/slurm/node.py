"""`hydra/launcher=submitit_slurm` with this project's launcher, whose node has two keys more."""

from dataclasses import dataclass
from importlib.util import find_spec

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins

# Hydra takes plugins of this package only; nothing of that name is imported.
TARGET = "hydra_plugins.model_diet.RunLauncher"


def register_launcher_defaults() -> None:
    """Stores the plugin's node again, as a subclass; nothing where the plugin is absent."""
    plugins = Plugins.instance()  # the plugin stores its node when it is found; ours comes after
    if find_spec("hydra_plugins.hydra_submitit_launcher") is None:
        return
    from hydra_plugins.hydra_submitit_launcher.config import SlurmQueueConf

    from lightning_modules.slurm.launcher import RunLauncher

    @dataclass
    class SlurmConf(SlurmQueueConf):
        """Node of `hydra/launcher=submitit_slurm`."""

        _target_: str = TARGET
        # How often a job that was preempted, or reached its time limit, goes on in its folder.
        max_num_timeout: int = 3
        # Minutes after which a job that has not started is cancelled; null: it waits on.
        max_pending_min: float | None = 7 * 24 * 60
        # Minutes for which the controller may not answer.
        max_silent_min: float = 30

    plugins.class_name_to_class[TARGET] = RunLauncher
    ConfigStore.instance().store(
        group="hydra/launcher", name="submitit_slurm", node=SlurmConf, provider="model_diet"
    )
