"""From `cfg.auxiliary` to the auxiliary losses of one network."""

import logging
from collections.abc import Sequence
from pkgutil import resolve_name
from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn

from lightning_modules.errors import ConfigError
from lightning_modules.networks import Network, feature_shapes, has_module
from lightning_modules.registry import build, plain
from lightning_modules.training.auxiliary.objectives import AuxiliaryHead, AuxiliaryLosses
from lightning_modules.training.auxiliary.outputs import auxiliary_names
from lightning_modules.training.losses.building import build_loss

log = logging.getLogger(__name__)


def build_auxiliary(
    nodes: DictConfig, network: Network, *, class_counts: Sequence[int], seed: int
) -> AuxiliaryLosses:
    """The heads that the nodes describe, for the network as it is now.

    A module that an earlier compression step took away is left out, and said.

    Args:
        nodes: by name. `at` maps modules to weights; for each of them `_target_` makes a head,
            which gets `shape` (1 x C x H x W, of the module's output), `num_classes`,
            `image_size`, a built `loss` where the node has one, and all other keys.
        network: stays as it is.
        class_counts: training images of each class, for the losses.
        seed: of the heads' weights; the global generator is left alone.

    Raises:
        ConfigError: a module gives nothing that its head can take.
    """
    attachments = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, path, weight in _places(nodes):
            if _is_whole(nodes[name]) and not auxiliary_names(network, training=True):
                log.info(f"  auxiliary.{name} is left out: no auxiliary outputs are left")
            elif has_module(network, path):
                head = _head(name, nodes[name], path, network, class_counts)
                attachments.append(AuxiliaryHead(name, path, weight, head))
            else:
                log.info(
                    f"  auxiliary.{name}.at={path} is left out: the module was compressed away"
                )
    return AuxiliaryLosses(network, attachments)


def check_auxiliary(nodes: DictConfig, network: Network) -> None:
    """Refuses, before any image is read, nodes that cannot be built for the first network.

    Raises:
        ConfigError: as `build_auxiliary`, or a module does not exist (says the nearest ones).
    """
    unread = [1] * network.num_classes  # only whether it can be built is asked
    for name, path, _ in _places(nodes):
        _head(name, nodes[name], path, network, unread)
        if _is_whole(nodes[name]) and not auxiliary_names(network, training=True):
            raise ConfigError(
                f"auxiliary={name}: the network gives its logits alone, no auxiliary outputs "
                "beside them; leave it out."
            )
    unused = [] if any(map(_is_whole, nodes.values())) else auxiliary_names(network)
    if unused:
        log.info(
            f"The network's auxiliary outputs ({', '.join(unused)}) take no part in the loss; "
            "auxiliary=outputs adds theirs."
        )


def _places(nodes: DictConfig) -> list[tuple[str, str, float]]:
    """(name of the node, module, weight), in the order of the configuration."""
    return [
        (str(name), str(path), weight)
        for name, node in nodes.items()
        for path, weight in node["at"].items()
    ]


def _is_whole(node: DictConfig) -> bool:
    """Whether a node's head takes all that a module gives, not one tensor."""
    try:
        return getattr(resolve_name(node["_target_"]), "whole", False)
    except (ImportError, AttributeError, ValueError):  # said where it is built
        return False


def _head(
    name: str, node: DictConfig, path: str, network: Network, class_counts: Sequence[int]
) -> nn.Module:
    settings = plain(node)
    own = {key: value for key, value in settings.items() if key not in ("at", "loss")}
    found: dict[str, Any] = {"num_classes": network.num_classes, "image_size": network.image_size}
    try:
        if settings.get("loss") is not None:
            found["loss"] = build_loss(settings["loss"], class_counts=class_counts)
        whole = _is_whole(node)
        shape = () if whole else feature_shapes(network, [path], network.image_size)[path]
        return build(own, shape=shape, **found)
    except ConfigError as error:
        raise ConfigError(f"auxiliary.{name}.at={path}: {error}") from error
