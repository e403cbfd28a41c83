"""What the configuration alone shows of a training that cannot work; torch is not imported."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from omegaconf import DictConfig
from pydantic import AfterValidator

from lightning_modules.errors import ConfigError
from lightning_modules.networks import resolved
from lightning_modules.registry import plain
from lightning_modules.runs import read_config
from lightning_modules.schema import (
    AtLeast0,
    Between0And1,
    Fraction,
    Positive,
    Ratio,
    check_settings,
    check_target,
    declared,
    is_number,
    whole_from,
)
from lightning_modules.training.auxiliary.schema import check_auxiliary_nodes
from lightning_modules.training.callbacks.schema import EMA, FREEZING, WatchingSettings
from lightning_modules.training.callbacks.schema import SETTINGS as CALLBACKS
from lightning_modules.training.device_schema import check_trainer, several_devices
from lightning_modules.training.losses.schema import SETTINGS as LOSSES
from lightning_modules.training.mixing_schema import SETTINGS as MIXINGS

WEIGHT_CHANGING = (EMA, FREEZING)  # callbacks that decide which weights come out


def _factors(factors: Any) -> Any:
    if not isinstance(factors, Mapping):
        raise ValueError(
            f"{{place}}={factors} must map layer patterns to multiples of lr, as "
            "'{place}={*:0.1,head:1}'."
        )
    for pattern, factor in factors.items():
        if not is_number(factor) or not factor >= 0:
            raise ValueError(
                f"{{place}}[{pattern}]={factor} is not allowed; it must be at least 0."
            )
    return factors


@declared(more="ignore")
class OptimizerSettings:
    """An `optimizer` node; what is not declared is the optimizer's own."""

    lr: Positive
    weight_decay: AtLeast0 = 0.0
    layer_decay: Ratio = 1.0
    lr_factors: Annotated[Any, AfterValidator(_factors)] | None = None


@declared(more="ignore")
class SchedulerSettings(WatchingSettings):
    """A `scheduler` node of one's own, whose other keys are its own."""

    interval: Literal["step", "epoch"] = "step"


@declared(more="ignore")
class KnownSchedulerSettings(SchedulerSettings):
    """A `scheduler` node of this package or of torch; each has some of these keys."""

    pct_start: Between0And1 = 0.3
    div_factor: Positive = 1.0
    final_div_factor: Positive = 1.0
    final_fraction: Fraction = 0.0
    warmup_epochs: AtLeast0 = 0.0
    cycle_epochs: Positive = 1.0
    cycle_factor: Annotated[float, whole_from(1)] = 1
    step_size: Annotated[float, whole_from(1)] = 1
    gamma: Positive = 1.0
    factor: Between0And1 = 0.5
    min_lr: AtLeast0 = 0.0


KNOWN_SCHEDULES = ("lightning_modules.training.schedules.", "torch.optim.lr_scheduler.")


def check_training(cfg: DictConfig, *, sweep: bool) -> None:
    """Refuses what no training can be told, and what does not go together in one.

    Args:
        cfg: the composed configuration.
        sweep: whether this is a sweep or a trial of one.

    Raises:
        ConfigError: one sentence on the first mistake found.
    """
    check_trainer(cfg.trainer, sweep=sweep)
    check_settings(OptimizerSettings, resolved(cfg.optimizer, "optimizer"), "optimizer")
    schedule = resolved(cfg.scheduler, "scheduler")
    known = str(schedule.get("_target_")).startswith(KNOWN_SCHEDULES)
    check_settings(KnownSchedulerSettings if known else SchedulerSettings, schedule, "scheduler")
    for name, node in chosen_callbacks(cfg).items():
        place = f"callbacks.{name}"
        check_target(CALLBACKS, resolved(node, place), place, otherwise=WatchingSettings)
    check_target(MIXINGS, resolved(cfg.mixing, "mixing"), "mixing")
    check_target(LOSSES, resolved(cfg.loss, "loss"), "loss")
    check_auxiliary_nodes(resolved(cfg.auxiliary, "auxiliary"))
    if cfg.lr_find and cfg.from_run is not None:
        raise ConfigError(
            "lr_find=true looks for the rate of the training, but from_run starts after it; give "
            "optimizer.lr, or the step's own lr."
        )
    if cfg.resume is not None:
        _check_resumed(cfg, Path(cfg.resume))


def check_quantized_training(cfg: DictConfig, place: str) -> None:
    """Refuses what a graph cannot be trained with: it has no modules to look into, or to send.

    Args:
        cfg: the composed configuration.
        place: the key of the step that trains it, such as `compression.quantize_aware`.

    Raises:
        ConfigError: one sentence on the first mistake found.
    """
    if several_devices(cfg.trainer):
        raise ConfigError(
            f"trainer.devices={cfg.trainer.devices}: {place} trains on one device; prune or "
            "factorise on several, then go on with from_run=last and trainer.devices=1."
        )
    if cfg.auxiliary:
        raise ConfigError(
            f"auxiliary={','.join(cfg.auxiliary)}: {place} has no modules that an auxiliary loss "
            "could look into; choose auxiliary=none, here or in a run of its own (from_run=last)."
        )


def chosen_callbacks(cfg: DictConfig) -> dict[str, DictConfig]:
    """The callbacks by name, without those that were set to null."""
    return {name: node for name, node in cfg.callbacks.items() if node is not None}


def _check_resumed(cfg: DictConfig, run: Path) -> None:
    """Callbacks may change on a resume, but not those that decide about weights."""
    saved = read_config(run / ".hydra" / "config.yaml")
    before, now = _weight_changing(saved), _weight_changing(cfg)
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            raise ConfigError(
                f"callbacks.{name} decides about the weights, so it cannot be added, changed or "
                "left out when a run is resumed; start a new run instead."
            )


def _weight_changing(cfg: DictConfig) -> dict[str, Any]:
    nodes = plain(cfg.callbacks, resolve=False)
    chosen = {name: nodes[name] for name in chosen_callbacks(cfg)}
    return {name: node for name, node in chosen.items() if node.get("_target_") in WEIGHT_CHANGING}
