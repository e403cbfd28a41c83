"""What the configuration alone shows of devices that cannot work together."""

import os

from omegaconf import DictConfig, ListConfig

from lightning_modules.errors import ConfigError
from lightning_modules.schema import is_whole

ALL = ("auto", -1, "-1")
STRATEGIES = ("auto", "ddp", "ddp_find_unused_parameters_true")


def check_devices(trainer: DictConfig, *, sweep: bool) -> None:
    """Refuses unknown strategies and numbers of devices, and what a sweep cannot do with several.

    Args:
        trainer: the configuration node.
        sweep: whether this is a sweep or a trial of one.

    Raises:
        ConfigError: one sentence on the first mistake found.
    """
    devices, strategy = trainer.devices, trainer.strategy
    if strategy not in STRATEGIES:
        raise ConfigError(
            f"trainer.strategy={strategy} does not exist here; there are {', '.join(STRATEGIES)}."
        )
    if sweep and (several_devices(trainer) or strategy != "auto"):
        raise ConfigError(
            f"trainer.strategy={strategy} with trainer.devices={devices} cannot run inside a sweep "
            "(-m), whose trials take turns on one device; use trainer.devices=1 and "
            "trainer.strategy=auto."
        )
    if not _counts(devices) and devices not in ALL:
        raise ConfigError(
            f"trainer.devices={devices} is neither a number of devices nor a list of them; give "
            "trainer.devices=2, trainer.devices=[0,1], or -1 for all."
        )
    if trainer.accelerator == "cpu":
        _check_cpu(trainer)
    if "TORCHELASTIC_RUN_ID" in os.environ:
        raise ConfigError(
            "run.py starts its own processes, one a device; start it with python, not torchrun."
        )


def several_devices(trainer: DictConfig) -> bool:
    """Whether a run takes, or may take, more than one device."""
    devices = trainer.devices
    return devices in ALL if not _counts(devices) else _number(devices) > 1


def _check_cpu(trainer: DictConfig) -> None:
    cores = max(2, os.cpu_count() or 1)
    if isinstance(trainer.devices, ListConfig):
        raise ConfigError(
            f"trainer.devices={trainer.devices} names devices, but the CPU is one; give a number "
            "of processes."
        )
    if trainer.devices not in ALL and _number(trainer.devices) > cores:
        raise ConfigError(
            f"trainer.devices={trainer.devices} asks for more processes than there are cores "
            f"({cores})."
        )
    if trainer.sync_batchnorm:
        raise ConfigError(
            "trainer.sync_batchnorm=true works on accelerators only; leave it out on the CPU."
        )


def _counts(devices: object) -> bool:
    """Whether it is a number of devices above 0, or a list of different ones."""
    if isinstance(devices, ListConfig):
        whole = all(is_whole(n, 0) for n in devices)
        return whole and 0 < len(devices) == len(set(devices))
    if isinstance(devices, str):
        return devices.isdigit() and int(devices) > 0
    return is_whole(devices)


def _number(devices: int | str | ListConfig) -> int:
    return len(devices) if isinstance(devices, ListConfig) else int(devices)
