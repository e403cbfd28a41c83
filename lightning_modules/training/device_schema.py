"""What the trainer may be told, and which devices work together; torch is not imported."""

import os
from typing import Annotated, Any, Literal

from omegaconf import DictConfig
from pydantic import AfterValidator

from lightning_modules.errors import ConfigError
from lightning_modules.networks import resolved
from lightning_modules.schema import (
    Count,
    Flag,
    Positive,
    Ratio,
    Wanted,
    check_settings,
    declared,
    whole_from,
)

ALL = ("auto", -1, "-1")

Batches = Annotated[Count | Ratio, Wanted("a fraction in (0, 1] or a number of batches >= 1")]


def _devices(devices: Any) -> Any:
    if devices not in ALL and not _counts(devices):
        raise ValueError(
            f"{{place}}={devices} is neither a number of devices nor a list of them; give "
            "{place}=2, {place}=[0,1], or -1 for all."
        )
    return devices


@declared(more="ignore")
class TrainerSettings:
    """A `trainer` node; what is not declared is Lightning's."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"]
    devices: Annotated[Any, AfterValidator(_devices)]
    strategy: Literal["auto", "ddp", "ddp_find_unused_parameters_true"]
    sync_batchnorm: Flag
    precision: Literal["32-true", "16-mixed", "bf16-mixed"]
    max_epochs: Annotated[float, whole_from(0)]
    gradient_clip_val: Positive | None
    accumulate_grad_batches: Annotated[float, whole_from(1)]
    limit_train_batches: Batches
    limit_val_batches: Batches
    keep: Literal["last", "best"]
    memory_format: Literal["auto", "contiguous", "channels_last"]
    check_val_every_n_epoch: Annotated[float, whole_from(1)] = 1


def check_trainer(trainer: DictConfig, *, sweep: bool) -> None:
    """Refuses what no trainer can be told, and what a sweep cannot do with several devices.

    Args:
        trainer: the configuration node.
        sweep: whether this is a sweep or a trial of one.

    Raises:
        ConfigError: one sentence on the first mistake found.
    """
    settings = check_settings(TrainerSettings, resolved(trainer, "trainer"), "trainer")
    devices, strategy = settings.devices, settings.strategy
    if sweep and (_several(devices) or strategy != "auto"):
        raise ConfigError(
            f"trainer.strategy={strategy} with trainer.devices={devices} cannot run inside a sweep "
            "(-m), whose trials take turns on one device; use trainer.devices=1 and "
            "trainer.strategy=auto."
        )
    if settings.accelerator == "cpu":
        _check_cpu(settings)
    if "TORCHELASTIC_RUN_ID" in os.environ:
        raise ConfigError(
            "run.py starts its own processes, one a device; start it with python, not torchrun."
        )


def several_devices(trainer: DictConfig) -> bool:
    """Whether a run takes, or may take, more than one device."""
    return _several(resolved(trainer, "trainer")["devices"])


def _check_cpu(settings: TrainerSettings) -> None:
    cores = max(2, os.cpu_count() or 1)
    if isinstance(settings.devices, list):
        raise ConfigError(
            f"trainer.devices={settings.devices} names devices, but the CPU is one; give a number "
            "of processes."
        )
    if settings.devices not in ALL and _number(settings.devices) > cores:
        raise ConfigError(
            f"trainer.devices={settings.devices} asks for more processes than there are cores "
            f"({cores})."
        )
    if settings.sync_batchnorm:
        raise ConfigError(
            "trainer.sync_batchnorm=true works on accelerators only; leave it out on the CPU."
        )


def _several(devices: Any) -> bool:
    return devices in ALL or _number(devices) > 1


def _counts(devices: Any) -> bool:
    """Whether it is a number of devices above 0, or a list of different ones."""
    if isinstance(devices, list):
        whole = all(type(device) is int and device >= 0 for device in devices)
        return whole and 0 < len(devices) == len(set(devices))
    if isinstance(devices, str):
        return devices.isdigit() and int(devices) > 0
    return type(devices) is int and devices > 0


def _number(devices: int | str | list[int]) -> int:
    return len(devices) if isinstance(devices, list) else int(devices)
