"""The optimizer and the schedule of one fit, from their configuration nodes."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from omegaconf import DictConfig
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lightning_modules.networks import Network, matching_layers
from lightning_modules.registry import build, build_part, plain, takes
from lightning_modules.training.callbacks.schema import FREEZING
from lightning_modules.training.parameter_groups import parameter_groups
from lightning_modules.training.schema import chosen_callbacks

LAYER_RATES = ("lr_factors", "layer_decay")  # of an optimizer node, for its parameter groups
LIGHTNING_KEYS = ("interval", "monitor")  # of a scheduler node, for Lightning

OptimizerFactory = Callable[[nn.Module], Optimizer]
SchedulerFactory = Callable[[Optimizer, "FitLength"], dict[str, Any]]


@dataclass(frozen=True)
class FitLength:
    """How long a fit is, in weight updates; a schedule gets what it has arguments for."""

    total_steps: int
    steps_per_epoch: int
    batches_per_epoch: int


def make_optimizer(module: nn.Module, node: DictConfig, *, lr: float | None = None) -> Optimizer:
    """The optimizer of a module's trainable parameters.

    Args:
        module: has a `network`.
        node: `_target_`, its arguments, `lr_factors` and `layer_decay`.
        lr: instead of the node's.

    Raises:
        ConfigError: the optimizer does not exist or refuses its arguments.
    """
    settings = plain(node)
    rates = {key: settings.pop(key) for key in LAYER_RATES if key in settings}
    settings["lr"] = settings["lr"] if lr is None else lr
    groups = parameter_groups(module, lr=settings["lr"], **rates)
    methods = ("step", "zero_grad", "param_groups", "state_dict")
    return build_part(settings, "optimizer", "optimizer", methods, params=groups)


def make_schedule(optimizer: Optimizer, node: DictConfig, length: FitLength) -> dict[str, Any]:
    """The schedule and when it is stepped, as `configure_optimizers` gives them to Lightning.

    Args:
        optimizer: its rates are the peaks.
        node: `_target_`, its arguments, `interval` (step or epoch) and, for a plateau, `monitor`.
        length: of the fit.
    """
    settings = plain(node)
    own = {key: settings.pop(key) for key in LIGHTNING_KEYS if key in settings}
    timing: dict[str, Any] = {"interval": "step", **own}
    known = asdict(length)
    if timing["interval"] == "epoch":
        known["total_steps"] = length.total_steps // length.steps_per_epoch
    known = {k: v for k, v in known.items() if k not in settings and takes(settings, k)}
    methods = ("step", "state_dict")
    schedule = build_part(settings, "schedule", "scheduler", methods, optimizer=optimizer, **known)
    if isinstance(schedule, ReduceLROnPlateau):
        # Lightning updates a plateau of interval `epoch` after the epoch's checkpoint, so that a
        # resumed run would miss the update; after the epoch's last batch it comes before.
        timing |= {"interval": "step", "frequency": length.batches_per_epoch}
        # An epoch without validation leaves the rate as it is.
        timing["strict"] = not str(timing.get("monitor")).startswith("val/")
    return {"scheduler": schedule, **timing}


def check_layers(cfg: DictConfig, network: Network) -> None:
    """Refuses layer patterns that match nothing, before any image is read.

    Raises:
        ConfigError: names the pattern and the nearest names.
    """
    for pattern in cfg.optimizer.get("lr_factors") or {}:
        matching_layers(network, pattern)
    for node in chosen_callbacks(cfg).values():
        if node.get("_target_") == FREEZING and cfg.from_run is None:
            build(node).frozen_layers(network)
