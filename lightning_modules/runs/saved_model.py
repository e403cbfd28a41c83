"""How `network.yaml` names what makes a network: by registered name and version, not by path.

A run then outlives every move of a file. It is converted in two places: when it is written
(`stored_model`) and when it is read (`current_model`); all else sees today's `_target_`. A network
of one's own keeps its path, behind `trust`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from lightning_modules.errors import ConfigError

NAME, VERSION, TARGET = "_network_", "_version_", "_target_"


class SavedNetwork(NamedTuple):
    """What makes a network of this package.

    Attributes:
        path: where it is now.
        version: of what its settings build; to be raised where the same ones build other layers.
    """

    path: str
    version: int = 1


# What network.yaml stores, and what it means in this version.
NETWORKS = {
    "torchvision": SavedNetwork("lightning_modules.networks.zoo.torchvision_network"),
    "timm": SavedNetwork("lightning_modules.networks.timm_zoo.timm_network"),
    "blocks": SavedNetwork("lightning_modules.networks.blocks.network.BlockNetwork"),
    "staged": SavedNetwork("lightning_modules.networks.blocks.staged.staged_network"),
    "shufflenet_v1": SavedNetwork("lightning_modules.networks.shufflenet_v1.ShuffleNetV1"),
    "robnet": SavedNetwork("lightning_modules.networks.robnet.RobNet"),
}


def stored_model(node: Any) -> Any:
    """A copy of a plain model node that names this package's networks as they are registered."""
    if isinstance(node, list):
        return [stored_model(value) for value in node]
    if not isinstance(node, Mapping):
        return node
    stored: dict[str, Any] = {}
    for key, value in node.items():
        name = _name_of(value) if key == TARGET else None
        named = {} if name is None else {NAME: name, VERSION: NETWORKS[name].version}
        stored |= named or {key: stored_model(value)}
    return stored


def current_model(node: Any) -> Any:
    """A copy of a stored model node with today's `_target_`s; one of schema 1 has paths already.

    Raises:
        ConfigError: it names a network that this version lacks, or has in another version.
    """
    if isinstance(node, list):
        return [current_model(value) for value in node]
    if not isinstance(node, Mapping):
        return node
    current: dict[str, Any] = {}
    for key, value in node.items():
        if key == NAME:
            current[TARGET] = _path_of(value, node.get(VERSION))
        elif key != VERSION or NAME not in node:
            current[key] = current_model(value)
    return current


def _name_of(path: Any) -> str | None:
    return next((name for name, network in NETWORKS.items() if network.path == path), None)


def _path_of(name: Any, version: Any) -> str:
    network = NETWORKS.get(name) if isinstance(name, str) else None
    if network is None:
        raise ConfigError(
            f"it names the network {name!r}, which this version does not have; it has "
            f"{', '.join(NETWORKS)}."
        )
    if version != network.version:
        raise ConfigError(
            f"it has version {version!r} of the network {name}; this installation has version "
            f"{network.version}."
        )
    return network.path
