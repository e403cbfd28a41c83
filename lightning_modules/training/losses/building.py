"""From `cfg.loss` to a loss that knows how many training images each class has."""

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig
from torch import nn

from lightning_modules.networks import Network
from lightning_modules.registry import build_part, plain, takes

Node = DictConfig | dict[str, Any]


def build_loss(
    node: Node, *, class_counts: Sequence[int], network: nn.Module | None = None
) -> nn.Module:
    """The loss (logits N x classes, targets) -> scalar that a node describes.

    Args:
        node: its `_target_` gets `class_counts` where it has an argument of that name.
        class_counts: training images of each class.
        network: whose logits it will see; a loss with a method `check_network` may refuse it.

    Raises:
        ConfigError: the loss cannot be built so, or is not for this network.
    """
    extra: dict[str, Any] = {}
    if takes(node, "class_counts"):
        extra["class_counts"] = list(class_counts)
    node = plain(node) if isinstance(node, DictConfig) else node
    loss = build_part(node, "loss", "loss", **extra)
    if network is not None and hasattr(loss, "check_network"):
        loss.check_network(network)
    return loss


def check_loss(node: Node, network: Network) -> None:
    """Refuses, before any image is read, a loss that cannot be built or is not for this network.

    Raises:
        ConfigError: as `build_loss`.
    """
    unread = [1] * network.num_classes  # only whether it can be built is asked
    build_loss(node, class_counts=unread, network=network)
