"""What the configuration alone shows of a network that cannot be built."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lightning_modules.errors import ConfigError
from lightning_modules.networks.variants import check_variant


def check_model(model: DictConfig, place: str) -> None:
    """Refuses a model node whose names or files do not exist; `place` is its key.

    Raises:
        ConfigError: one sentence on the first mistake found.
    """
    resolved(model, place)
    if "family" in model:
        check_variant(model.family, model.variant)
    if model.get("weights") is not None:
        if model.get("pretrained"):
            raise ConfigError(
                f"{place}.pretrained=true and {place}.weights={model.weights} exclude each other; "
                "keep one of them."
            )
        if not Path(model.weights).is_file():
            raise ConfigError(f"{place}.weights={model.weights}: there is no such file.")


def resolved(node: DictConfig, place: str) -> dict[str, Any]:
    """The node as plain values.

    Raises:
        ConfigError: one of its interpolations names nothing.
    """
    try:
        return OmegaConf.to_container(node, resolve=True)
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ConfigError(f"{error.full_key or place} cannot be resolved: {reason}.") from error
