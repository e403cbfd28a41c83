"""From `cfg.model` to a network that takes raw pixels."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from omegaconf import DictConfig
from torch.overrides import TorchFunctionMode

from compression.errors import CompressionError
from compression.schema import height_width
from lightning_modules.errors import ConfigError
from lightning_modules.networks.blocks.row_file import with_rows
from lightning_modules.networks.constructor import make_body
from lightning_modules.networks.cosine_head import put_cosine_head
from lightning_modules.networks.first_pass import check_images, complete, refusal
from lightning_modules.networks.network import IMAGENET_MEAN, IMAGENET_STD, Network, Pixels
from lightning_modules.networks.weights import load_weights
from lightning_modules.registry import plain
from lightning_modules.runs import WEIGHT_SOURCES, current_config

log = logging.getLogger(__name__)

# Keys of a model node that its body does not get.
OWN_KEYS = (
    "name", *WEIGHT_SOURCES, "normalize", "mean", "std", "scale", "channel_order", "input_size",
    "cosine_scale",
)  # fmt: skip
# What allocates parameters that an initialiser is going to fill.
UNFILLED = {torch.empty, torch.empty_like, torch.rand, torch.randn, torch.normal}


def build_network(
    model_cfg: DictConfig | Mapping[str, Any], *, num_classes: int, image_size: int | Sequence[int]
) -> Network:
    """The network that a model node describes, with its weights where it names some.

    Args:
        model_cfg: `_target_` makes the body and gets the number of classes, the (height, width)
            that it will see where it has an argument `image_size` (see `constructor`), and all
            keys but these: `name`, `pretrained` (the library's own download), `weights` (a file),
            `weights_key` and `partial_weights` (see `load_weights`), `normalize`, `mean`, `std`,
            `scale`, `channel_order` and `input_size` (see `Pixels`), `cosine_scale` (see
            `cosine_head`).
        num_classes: at least 2.
        image_size: an int or [height, width] in pixels of the images to come.

    Raises:
        ConfigError: any of it is impossible, or the network cannot take such images.
    """
    node = plain_node(model_cfg)
    if node["pretrained"] and node["weights"]:
        raise ConfigError("Give model.pretrained=true or model.weights=PATH, not both.")
    network = assemble(node, num_classes=num_classes, image_size=image_size)
    _check(network, node)
    if node["weights"]:
        partial = bool(node.get("partial_weights"))
        key = node.get("weights_key")
        log.info(load_weights(network, node["weights"], key=key, partial=partial))
    return network


def meta_network(
    model_cfg: DictConfig | Mapping[str, Any], *, num_classes: int, image_size: int | Sequence[int]
) -> Network:
    """The same network without weights, in milliseconds and a few megabytes whatever its size.

    Its parameters lie on the meta device: it can be counted and described, not run. No file is
    read and nothing is downloaded.

    Raises:
        ConfigError: as `build_network`.
    """
    node = {**plain_node(model_cfg), "pretrained": False, "weights": None}
    try:
        with MetaInit():
            network = assemble(node, num_classes=num_classes, image_size=image_size)
    except Exception:  # whatever a constructor raises that reads its random values
        network = assemble(node, num_classes=num_classes, image_size=image_size)
    _check(network, node)
    return network


def plain_node(model_cfg: DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    """`model_cfg` resolved as a plain dict, with the rows of its file, `pretrained`, `weights`.

    In today's names.
    """
    node: Mapping[Any, Any] = model_cfg
    if isinstance(model_cfg, DictConfig):
        node = plain(model_cfg)
    node = current_config({"model": node})["model"]
    return with_rows({"pretrained": False, "weights": None, **node})


def assemble(
    node: Mapping[str, Any], *, num_classes: int, image_size: int | Sequence[int]
) -> Network:
    """The network of a plain node, weights file aside; works under `torch.device("meta")`.

    Raises:
        ConfigError: the target, its keys or the sizes are impossible.
    """
    try:
        return _assemble(node, num_classes=num_classes, image_size=image_size)
    except CompressionError as error:
        raise refusal(error, _name(node), _at_size(node, num_classes)) from error


def _assemble(
    node: Mapping[str, Any], *, num_classes: int, image_size: int | Sequence[int]
) -> Network:
    if not isinstance(num_classes, int) or num_classes < 2:
        raise ConfigError(f"A classifier tells at least 2 classes apart, not {num_classes!r}.")
    size = _size(image_size)
    resize_to = node.get("input_size")
    body = make_body(
        {key: value for key, value in node.items() if key not in OWN_KEYS},
        num_classes=num_classes,
        size=size if resize_to is None else _size(resize_to),
        pretrained=bool(node.get("pretrained")),
    )
    stated = getattr(body, "pretrained_cfg", None) or {}  # a timm network knows its statistics
    pixels = Pixels(
        mean=node.get("mean") or stated.get("mean") or IMAGENET_MEAN,
        std=node.get("std") or stated.get("std") or IMAGENET_STD,
        scale=node.get("scale") or 1,
        normalize=node.get("normalize", True),
        channel_order=node.get("channel_order") or "rgb",
        resize_to=resize_to,
    )
    network = Network(pixels=pixels, body=body, num_classes=num_classes, image_size=size)
    network.model_cfg = dict(node)
    complete(network)
    if node.get("cosine_scale") is not None:
        _check(network, node)
        put_cosine_head(network, size, scale=node["cosine_scale"], name=_name(node))
    return network


def _size(image_size: int | Sequence[int]) -> tuple[int, int]:
    try:
        return height_width(image_size)
    except CompressionError as error:
        raise ConfigError(str(error)) from None


def _name(node: Mapping[str, Any]) -> str:
    return node.get("variant") or node.get("name") or node["_target_"]


def _check(network: Network, node: Mapping[str, Any]) -> None:
    check_images(network, _name(node), _at_size(node, network.num_classes))


def _at_size(node: Mapping[str, Any], num_classes: int) -> Callable[[int], Network]:
    """Makes the network of a node for square images of a side in pixels."""

    def made(side: int) -> Network:
        wanted = {**node, "pretrained": False, "cosine_scale": None}
        if wanted.get("input_size") is not None:
            wanted["input_size"] = side
        try:
            with MetaInit():
                return _assemble(wanted, num_classes=num_classes, image_size=side)
        except Exception:  # as in `meta_network`
            return _assemble(wanted, num_classes=num_classes, image_size=side)

    return made


class MetaInit(TorchFunctionMode):
    """Inside `with MetaInit():`, tensors that would hold random or no values are made on meta.

    Unlike under `torch.device("meta")`, tensors with meaningful values (ranges, index tables, the
    widths that RegNet computes) stay real, so that constructors may read them and buffers that no
    file holds are right; the parameters take no memory and no time.
    """

    def __torch_function__(
        self,
        func: Callable,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in UNFILLED and kwargs.get("device") is None and "out" not in kwargs:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)
