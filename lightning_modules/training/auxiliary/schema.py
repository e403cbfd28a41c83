"""What an auxiliary node may say; read without torch, so that a mistake costs a second."""

import math
from collections.abc import Mapping
from typing import Any

from lightning_modules.errors import ConfigError
from lightning_modules.schema import is_number, require_choice, require_whole
from lightning_modules.training.losses.schema import check_limits

ERRORS = ("mse", "l1")


def check_auxiliary_nodes(nodes: Mapping[str, Any]) -> None:
    """Refuses nodes that name no modules, or whose numbers are impossible.

    Args:
        nodes: by name, plain data.

    Raises:
        ConfigError: says which key is wrong, and what to type.
    """
    for name, node in nodes.items():
        place = f"auxiliary.{name}"
        if not isinstance(node, Mapping) or node.get("_target_") is None:
            raise ConfigError(f"{place} has settings but was not chosen; add auxiliary={name}.")
        _check_places(f"{place}.at", node.get("at"))
        loss = node.get("loss") or {}
        if str(loss.get("_target_")).startswith("lightning_modules.training.losses."):
            check_limits(loss, f"{place}.loss")
        if "error" in node:
            check_decoder(node, place)


def check_decoder(settings: Mapping[str, Any], place: str = "auxiliary.reconstruction") -> None:
    """Refuses impossible `error`, `downsample` and `channels` of a reconstruction.

    Raises:
        ConfigError: names the key.
    """
    require_choice(f"{place}.error", settings["error"], ERRORS)
    for key in ("downsample", "channels"):
        require_whole(f"{place}.{key}", settings[key])


def _check_places(key: str, places: Any) -> None:
    if not isinstance(places, Mapping) or not places:
        given = "has no value" if places in (None, {}) else f"is {places}"
        raise ConfigError(
            f"{key} {given}; give modules of the network with the weights of their losses, as "
            f"'{key}={{features.stage2: 0.3}}' (python scripts/describe.py lists the modules)."
        )
    for path, weight in places.items():
        if not is_number(weight) or not 0 <= weight < math.inf:
            raise ConfigError(
                f"{key}: the weight {weight} of {path} is not allowed; it must be at least 0."
            )
