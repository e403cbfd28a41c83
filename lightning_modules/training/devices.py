"""On how many devices a run trains, and on which it is evaluated."""

import torch
from omegaconf import DictConfig, ListConfig

from lightning_modules.errors import ConfigError


def device_type(accelerator: str) -> str:
    """The kind of device that `trainer.accelerator` means on this machine: cuda, mps or cpu.

    Raises:
        ConfigError: an accelerator was asked for and there is none.
    """
    available = [
        *(["cuda"] if torch.cuda.is_available() else []),
        *(["mps"] if torch.backends.mps.is_available() else []),
    ]
    if accelerator in ("cpu", *available):
        return accelerator
    if accelerator in ("auto", "gpu") and available:
        return available[0]
    if accelerator == "auto":
        return "cpu"
    raise ConfigError(
        f"trainer.accelerator={accelerator}, but PyTorch finds none on this machine; "
        "use trainer=cpu."
    )


def device_count(trainer: DictConfig) -> int:
    """How many processes train, one a device.

    Raises:
        ConfigError: there are fewer devices.
    """
    kind, devices = device_type(trainer.accelerator), trainer.devices
    if kind == "cpu":
        return 1 if devices in ("auto", -1, "-1") else _number(devices)
    there = torch.cuda.device_count() if kind == "cuda" else 1
    if devices in ("auto", -1, "-1"):
        return there
    highest = max(devices) + 1 if isinstance(devices, ListConfig) else _number(devices)
    if highest > there:
        raise ConfigError(
            f"trainer.devices={devices} asks for more devices than there are: {there} ({kind})."
        )
    return _number(devices)


def first_device(trainer: DictConfig) -> torch.device:
    """The device that this process trains and evaluates on."""
    kind, devices = device_type(trainer.accelerator), trainer.devices
    first = devices[0] if isinstance(devices, ListConfig) else 0
    return torch.device(kind, first) if kind == "cuda" else torch.device(kind)


def device_name(device: torch.device) -> str:
    """What tells devices apart whose results differ: the name of a GPU, else the device's type."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _number(devices: int | str | ListConfig) -> int:
    return len(devices) if isinstance(devices, ListConfig) else int(devices)
