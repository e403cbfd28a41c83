"""What the configuration alone shows of compression steps that cannot work."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from compression.factorization import settings as factorization
from compression.pruning import settings as pruning
from compression.quantization import settings as quantization
from compression.target import Target
from lightning_modules.errors import ConfigError
from lightning_modules.networks.check_model import resolved
from lightning_modules.training.check_devices import several_devices


def check_compression(cfg: DictConfig) -> None:
    """Refuses settings of steps that cannot be, and steps where they cannot be.

    Raises:
        ConfigError, CompressionError: one sentence on the first mistake found.
    """
    for name, node in cfg.compression.items():
        if not OmegaConf.is_dict(node) or node.get("_target_") is None:
            raise ConfigError(
                f"compression.{name} has settings but was not chosen; add '+compression={name}'."
            )
        place = f"compression.{name}"
        settings = resolved(node, place)
        Target.of(settings.get("target"), f"{place}.target")
        if node._target_.startswith("compression.factorization."):
            factorization.check_settings(place, settings)
        if node._target_.startswith("compression.pruning.prune."):
            pruning.check_settings(place, settings)
        if node._target_.startswith("compression.quantization."):
            quantization.check_settings(place, settings)
            _check_quantization(cfg, place, settings, last=name == list(cfg.compression)[-1])
        names = node.get("teacher")
        for teacher in [names] if isinstance(names, str) else names or []:
            if teacher not in cfg.teacher:
                raise ConfigError(
                    f"compression.{name}.teacher names {teacher}, which this run does not have; "
                    f"add '+teacher={teacher}'."
                )
    if cfg.from_run is not None and not cfg.compression:
        raise ConfigError(
            f"from_run={cfg.from_run} starts from a trained network, but no compression step was "
            "chosen; add '+compression=tucker'."
        )


def _check_quantization(
    cfg: DictConfig, place: str, settings: dict[str, Any], *, last: bool
) -> None:
    if not last:
        raise ConfigError(f"{place} must be the last step; name it last in '+compression=[...]'.")
    if settings["_target_"].startswith("compression.quantization.quantize_aware."):
        quantization.require_torchao()
        _check_quantized_training(cfg, place, settings)
        return
    for key in ("epochs", "prepare_epochs"):
        if settings.get(key) not in (0, None) or (key == "epochs" and settings.get(key) is None):
            raise ConfigError(
                f"{place}.{key}={settings.get(key)}: an int8 network cannot be trained; leave "
                f"it at 0, and fine-tune in the step before, or choose quantize_aware."
            )


def _check_quantized_training(cfg: DictConfig, place: str, settings: dict[str, Any]) -> None:
    """What is trained is the graph of a network: it has no modules to look into, or to send."""
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
    taught = cfg.teacher and settings.get("teacher") != []
    looking = [name for name, term in cfg.distillation.terms.items() if "features" in term]
    if taught and looking:
        raise ConfigError(
            f"distillation.terms.{looking[0]} compares modules, which {place} does not have; give "
            f"distillation=soft_targets, or {place}.teacher=[]."
        )
