"""What the configuration alone shows of compression steps that cannot work."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from compression.factorization import settings as factorization
from compression.quantization import settings as quantization
from compression.steps import step_settings
from compression.target import Target
from lightning_modules.errors import ConfigError
from lightning_modules.networks import resolved
from lightning_modules.registry import schema
from lightning_modules.schema import nearest

FINE_TUNING = ("epochs", "lr", "teacher", "prepare_epochs")


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
        if node._target_.startswith("compression.pruning."):
            own = {k: v for k, v in settings.items() if k not in ("_target_", "fine_tuning")}
            step_settings(node._target_).check(own, place)
        if node._target_.startswith("compression.quantization."):
            quantization.check_settings(place, settings)
            _check_quantization(cfg, place, settings, last=name == list(cfg.compression)[-1])
        _check_fine_tuning(f"{place}.fine_tuning", settings.get("fine_tuning"))
        names = (settings.get("fine_tuning") or {}).get("teacher")
        for teacher in [names] if isinstance(names, str) else names or []:
            if teacher not in cfg.teacher:
                raise ConfigError(
                    f"{place}.fine_tuning.teacher names {teacher}, which this run does not "
                    f"have; add '+teacher={teacher}'."
                )
    if cfg.from_run is not None and not cfg.compression:
        raise ConfigError(
            f"from_run={cfg.from_run} starts from a trained network, but no compression step was "
            "chosen; add '+compression=tucker'."
        )


def _check_fine_tuning(place: str, node: Any) -> None:
    if node is not None and not isinstance(node, dict):
        raise ConfigError(f"{place}={node} is no node; give its keys, as {place}.epochs=5.")
    for key in node or ():
        if key not in FINE_TUNING:
            known = ", ".join(FINE_TUNING)
            raise ConfigError(
                f"There is no key {place}.{key}{nearest(key, FINE_TUNING)}; there are {known}."
            )


def _check_quantization(
    cfg: DictConfig, place: str, settings: dict[str, Any], *, last: bool
) -> None:
    if not last:
        raise ConfigError(f"{place} must be the last step; name it last in '+compression=[...]'.")
    if settings["_target_"].startswith("compression.quantization.quantize_aware."):
        quantization.require_torchao()
        schema("quantized_training")(cfg, place, settings)
        return
    tuning = settings.get("fine_tuning") or {}
    for key in ("epochs", "prepare_epochs"):
        if tuning.get(key) not in (0, None) or (key == "epochs" and tuning.get(key) is None):
            raise ConfigError(
                f"{place}.fine_tuning.{key}={tuning.get(key)}: an int8 network cannot be "
                f"trained; leave it at 0, and fine-tune in the step before, or choose "
                "quantize_aware."
            )
