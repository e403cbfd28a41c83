"""From `cfg.model` to a network that takes raw pixels."""

import inspect
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from compression.cost import forward_shapes
from compression.errors import CompressionError
from compression.image_size import height_width
from compression.meta_copy import meta_copy
from lightning_modules.build import build
from lightning_modules.errors import ConfigError
from lightning_modules.networks.network import Network
from lightning_modules.networks.pixels import Pixels
from lightning_modules.networks.weights import load_weights

log = logging.getLogger(__name__)


def build_network(
    model_cfg: DictConfig | Mapping[str, Any], *, num_classes: int, image_size: int | Sequence[int]
) -> Network:
    """The network that a model node describes, with its weights where it names some.

    Args:
        model_cfg: `_target_` makes the body and gets `num_classes` and all keys but these:
            `name`, `pretrained` (the library's own download), `weights` (a file), `mean`, `std`
            and `input_size` (see `Pixels`).
        num_classes: at least 2.
        image_size: an int or [height, width] in pixels of the images to come.

    Raises:
        ConfigError: any of it is impossible, or the network cannot take such images.
    """
    node = plain_node(model_cfg)
    if node["pretrained"] and node["weights"]:
        raise ConfigError("Give model.pretrained=true or model.weights=PATH, not both.")
    network = assemble(node, num_classes=num_classes, image_size=image_size)
    _check_images(network, node)
    if node["weights"]:
        log.info(load_weights(network, node["weights"]))
    return network


def plain_node(model_cfg: DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    """`model_cfg` as a plain dict, interpolations resolved, `pretrained` and `weights` present."""
    if isinstance(model_cfg, DictConfig):
        model_cfg = OmegaConf.to_container(model_cfg, resolve=True)
    return {"pretrained": False, "weights": None, **model_cfg}


def assemble(
    node: Mapping[str, Any], *, num_classes: int, image_size: int | Sequence[int]
) -> Network:
    """The network of a plain node, weights file aside; works under `torch.device("meta")`.

    Raises:
        ConfigError: the target, its keys or the sizes are impossible.
    """
    if not isinstance(num_classes, int) or num_classes < 2:
        raise ConfigError(f"A classifier tells at least 2 classes apart, not {num_classes!r}.")
    try:
        size = height_width(image_size)
    except CompressionError as error:
        raise ConfigError(str(error)) from None
    body = dict(node)
    pixels = {key: body.pop(key) for key in ("mean", "std") if key in body}
    pixels["resize_to"] = body.pop("input_size", None)
    extra = {"pretrained": True} if body.pop("pretrained", False) else {}
    for key in ("name", "weights"):
        body.pop(key, None)
    _check_target(body.get("_target_"), extra)
    network = Network(
        pixels=Pixels(**pixels),
        body=build(body, num_classes=num_classes, **extra),
        num_classes=num_classes,
        image_size=size,
    )
    network.model_cfg = dict(node)
    return network


def _check_target(target: Any, extra: Mapping[str, Any]) -> None:
    if not target:
        raise ConfigError("The model node needs a _target_ that makes the network's body.")
    if not extra:
        return
    try:
        parameters = inspect.signature(get_object(target)).parameters.values()
    except Exception as error:  # hydra raises what the import raised
        raise ConfigError(f"{target} cannot be built: {error}.") from error
    if not any(p.name == "pretrained" or p.kind is p.VAR_KEYWORD for p in parameters):
        raise ConfigError(
            f"{target} has no weights to download; leave model.pretrained=false and give a file "
            f"with model.weights=PATH."
        )


def _check_images(network: Network, node: Mapping[str, Any]) -> None:
    name = node.get("name") or node["_target_"]
    try:
        shape = tuple(forward_shapes(meta_copy(network), network.image_size))
    except CompressionError as error:
        raise ConfigError(f"model {name}: {error}") from error
    if shape != (1, network.num_classes):
        raise ConfigError(
            f"model {name} gives an output of shape {shape} for one image instead of logits "
            f"(1, {network.num_classes})."
        )
