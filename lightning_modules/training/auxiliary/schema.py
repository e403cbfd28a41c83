"""What an auxiliary node may say; declared without torch, so that a mistake costs a second."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator

from lightning_modules.errors import ConfigError
from lightning_modules.schema import Count, check_settings, check_target, declared, is_number
from lightning_modules.training.losses.schema import SETTINGS as LOSSES


def _places(places: Any) -> Any:
    if not isinstance(places, Mapping) or not places:
        given = "has no value" if places in (None, {}) else f"is {places}"
        raise ValueError(
            f"{{place}} {given}; give modules of the network with the weights of their losses, as "
            "'{place}={features.stage2: 0.3}' (python scripts/describe.py lists the modules)."
        )
    for path, weight in places.items():
        if not is_number(weight) or not 0 <= weight < math.inf:
            raise ValueError(
                f"{{place}}: the weight {weight} of {path} is not allowed; it must be at least 0."
            )
    return places


@declared(more="ignore")
class AuxiliarySettings:
    """Of every auxiliary node: the modules that it looks into, with the weights of its losses."""

    at: Annotated[Any, AfterValidator(_places)] = None


@declared()
class ReconstructionSettings:
    """Of `Reconstruction`, besides the modules.

    Attributes:
        error: of pixels, the mean over all values.
        downsample: side of the image relative to that of the target.
        channels: of the decoder's convolutions.
    """

    name: ClassVar[str] = "auxiliary.reconstruction"

    error: Literal["mse", "l1"] = "mse"
    downsample: Count = 2
    channels: Count = 32


SETTINGS = {"lightning_modules.training.auxiliary.heads.Reconstruction": ReconstructionSettings}


def check_auxiliary_nodes(nodes: Mapping[str, Any]) -> None:
    """Refuses nodes that name no modules, or whose settings are impossible.

    Args:
        nodes: by name, plain data.

    Raises:
        ConfigError: says which key is wrong, and what to type.
    """
    for name, node in nodes.items():
        place = f"auxiliary.{name}"
        if not isinstance(node, Mapping) or node.get("_target_") is None:
            raise ConfigError(f"{place} has settings but was not chosen; add auxiliary={name}.")
        check_settings(AuxiliarySettings, {"at": node.get("at")}, place)
        check_target(LOSSES, node.get("loss") or {}, f"{place}.loss")
        own = {key: value for key, value in node.items() if key not in ("at", "loss")}
        check_target(SETTINGS, own, place)
