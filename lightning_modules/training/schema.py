"""What the configuration alone shows of a training that cannot work; torch is not imported."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lightning_modules.errors import ConfigError
from lightning_modules.registry import plain
from lightning_modules.runs import read_config
from lightning_modules.schema import (
    BETWEEN_0_AND_1,
    FRACTION,
    POSITIVE,
    at_least,
    require_choice,
    require_number,
    whole,
)
from lightning_modules.training.device_schema import several_devices

# What is measured in each epoch; a larger value is better where it is no loss.
MONITORS = ("val/f1", "val/accuracy", "val/loss", "train/loss")
PRECISIONS = ("32-true", "16-mixed", "bf16-mixed")
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
EMA, FREEZING = (
    "lightning_modules.training.callbacks.ema.EMA",
    "lightning_modules.training.callbacks.freezing.Freezing",
)
WEIGHT_CHANGING = (EMA, FREEZING)  # callbacks that decide which weights come out


def check_training(cfg: DictConfig) -> None:
    """Refuses an optimizer, schedule, trainer or callback that cannot work.

    Raises:
        ConfigError: one sentence on the first mistake found.
    """
    _check_trainer(cfg.trainer)
    _check_optimizer(cfg.optimizer)
    _check_scheduler(cfg.scheduler)
    for name, node in chosen_callbacks(cfg).items():
        _check_callback(f"callbacks.{name}", node)
    _check_lr_find(cfg)
    for key in ("pictures", "report"):
        if cfg[key] not in (None, True, False):
            raise ConfigError(f"{key}={cfg[key]} is neither true, false nor null.")
    if cfg.resume is not None:
        _check_resumed(cfg, Path(cfg.resume))


def check_quantized_training(cfg: DictConfig, place: str, settings: dict[str, Any]) -> None:
    """Refuses what a graph cannot be trained with: it has no modules to look into, or to send.

    Args:
        cfg: the composed configuration.
        place: the key of the step that trains it, such as `compression.quantize_aware`.
        settings: of that step.

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
    taught = cfg.teacher and (settings.get("fine_tuning") or {}).get("teacher") != []
    looking = [name for name, term in cfg.distillation.terms.items() if "features" in term]
    if taught and looking:
        raise ConfigError(
            f"distillation.terms.{looking[0]} compares modules, which {place} does not have; give "
            f"distillation=soft_targets, or {place}.fine_tuning.teacher=[]."
        )


def chosen_callbacks(cfg: DictConfig) -> dict[str, DictConfig]:
    """The callbacks by name, without those that were set to null."""
    return {name: node for name, node in cfg.callbacks.items() if node is not None}


def _check_trainer(trainer: DictConfig) -> None:
    require_choice("trainer.accelerator", trainer.accelerator, ACCELERATORS)
    require_choice("trainer.precision", trainer.precision, PRECISIONS)
    require_number("trainer.accumulate_grad_batches", trainer.accumulate_grad_batches, whole(1))
    if trainer.gradient_clip_val is not None:
        require_number("trainer.gradient_clip_val", trainer.gradient_clip_val, POSITIVE)
    for key in ("limit_train_batches", "limit_val_batches"):
        value = trainer[key]
        fits = lambda x: (isinstance(x, int) and x >= 1) or 0 < x <= 1  # noqa: E731
        require_number(
            f"trainer.{key}", value, (fits, "a share in 0..1 or a number of batches >= 1")
        )


def _check_optimizer(optimizer: DictConfig) -> None:
    require_number("optimizer.lr", optimizer.get("lr"), POSITIVE)
    require_number("optimizer.weight_decay", optimizer.get("weight_decay", 0), at_least(0))
    decay = (lambda x: 0 < x <= 1, "above 0 and at most 1")
    require_number("optimizer.layer_decay", optimizer.get("layer_decay", 1.0), decay)
    factors = optimizer.get("lr_factors")
    if factors is not None and not OmegaConf.is_dict(factors):
        raise ConfigError(
            f"optimizer.lr_factors={factors} must map layer patterns to multiples of lr, as "
            "'optimizer.lr_factors={*:0.1,head:1}'."
        )
    for pattern, factor in (factors or {}).items():
        require_number(f"optimizer.lr_factors[{pattern}]", factor, at_least(0))


def _check_scheduler(scheduler: DictConfig) -> None:
    between, positive, from_0, steps = BETWEEN_0_AND_1, POSITIVE, at_least(0), whole(1)
    limits = {
        "pct_start": between, "factor": between, "gamma": positive, "step_size": steps,
        "cycle_epochs": positive, "cycle_factor": steps, "warmup_epochs": from_0,
        "final_fraction": FRACTION, "patience": whole(0),
        "div_factor": positive, "final_div_factor": positive, "min_lr": from_0,
    }  # fmt: skip
    for key, limit in limits.items():
        if key in scheduler:
            require_number(f"scheduler.{key}", scheduler[key], limit)
    if "interval" in scheduler:
        require_choice("scheduler.interval", scheduler.interval, ("step", "epoch"))
    _check_monitor("scheduler", scheduler)


def _check_callback(place: str, node: DictConfig) -> None:
    if node.get("_target_") == EMA:
        require_number(f"{place}.decay", node.decay, BETWEEN_0_AND_1)
    if node.get("_target_") == FREEZING:
        require_number(f"{place}.epochs", node.epochs, whole(0))
        patterns = node.get("patterns")
        if patterns is not None and not OmegaConf.is_list(patterns):
            raise ConfigError(f"{place}.patterns={patterns} must be a list, as ['body.*'].")
    if "patience" in node:
        require_number(f"{place}.patience", node.patience, whole(0))
    _check_monitor(place, node)


def _check_monitor(place: str, node: DictConfig) -> None:
    """What is watched must be measured, and watched in the direction in which it improves."""
    if node.get("monitor") is None:
        return
    require_choice(f"{place}.monitor", node.monitor, MONITORS)
    better = "min" if node.monitor.endswith("loss") else "max"
    if node.get("mode", better) != better:
        raise ConfigError(
            f"{place}.mode={node.mode} does not fit {place}.monitor={node.monitor}, which improves "
            f"the other way; set {place}.mode={better}."
        )


def _check_lr_find(cfg: DictConfig) -> None:
    if not isinstance(cfg.lr_find, bool):
        raise ConfigError(f"lr_find={cfg.lr_find} is neither true nor false.")
    if cfg.lr_find and cfg.from_run is not None:
        raise ConfigError(
            "lr_find=true looks for the rate of the training, but from_run starts after it; give "
            "optimizer.lr, or the step's own lr."
        )


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
