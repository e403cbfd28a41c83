"""Teachers: frozen networks that give a student its soft targets."""

from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from lightning_modules.errors import ConfigError
from lightning_modules.networks import build_network, load_network


@dataclass(frozen=True)
class Teacher:
    """One teacher.

    Attributes:
        name: as in the configuration.
        network: frozen, in eval mode; uint8 N x 3 x H x W -> logits N x classes.
        weight: its share in a mean of several.
        temperature: its own temperature, or None for the distillation's.
    """

    name: str
    network: nn.Module
    weight: float = 1.0
    temperature: float | None = None

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Logits N x classes for images N x 3 x H x W."""
        return self.network(images)


def teacher_from(
    name: str,
    node: DictConfig,
    *,
    run: Path | None,
    class_names: tuple[str, ...],
    image_size: tuple[int, int],
) -> Teacher:
    """The teacher that a configuration node describes.

    Args:
        run: the directory that holds it; None means that the node names a weights file.
        class_names: classes of the student's data, in order.
        image_size: (H, W) in pixels of the student's images; a teacher that was trained at
            another size (or is given one) resizes them itself.

    Raises:
        ConfigError: the weights do not hold the whole teacher, its head included.
    """
    if run is not None:
        network = load_network(run)
    else:
        model = {**node.model, "weights": node.weights, "pretrained": False}
        network = build_network(model, num_classes=len(class_names), image_size=image_size)
        if network.new_tensors:
            raise ConfigError(
                f"teacher.{name}: {node.weights} lacks {', '.join(network.new_tensors)}; a teacher "
                f"needs a head for these {len(class_names)} classes."
            )
    wanted = node.get("image_size") or network.image_size
    size = (wanted, wanted) if isinstance(wanted, int) else tuple(wanted)
    if size != tuple(image_size):
        network.pixels.resize_to = size
    return freeze(name, network, node)


def freeze(name: str, network: nn.Module, node: DictConfig) -> Teacher:
    """A teacher around a network that from now on never changes."""
    return Teacher(
        name=name,
        network=network.eval().requires_grad_(False),
        weight=node.get("weight", 1.0),
        temperature=node.get("temperature"),
    )
