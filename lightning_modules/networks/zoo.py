"""torchvision's classification networks, by family and variant."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torchvision import models
from torchvision.models.vision_transformer import interpolate_embeddings

from lightning_modules.errors import ConfigError
from lightning_modules.networks.schema import check_variant
from lightning_modules.networks.weights import load_state

# Plain logits in training too; and torchvision warns where the initialisation is left open.
PLAIN = {"aux_logits": False, "init_weights": True}


def torchvision_network(
    *,
    family: str,
    variant: str,
    num_classes: int,
    image_size: tuple[int, int] = (224, 224),
    pretrained: bool = False,
    bn_momentum: float | None = None,
    **options: Any,
) -> nn.Module:
    """A network of torchvision: normalised N x 3 x H x W -> logits N x `num_classes`.

    Args:
        family: a key of `schema.FAMILIES`.
        variant: torchvision's name of the network, such as `resnet18`.
        num_classes: outputs of the head.
        image_size: (height, width) in pixels, for networks that are made for one size.
        pretrained: start from torchvision's default ImageNet weights, downloaded once; a head of
            another size starts anew, position embeddings are interpolated.
        bn_momentum: share of each batch in the running BatchNorm statistics; None: torchvision's.
        options: passed on to torchvision, such as `dropout` or `width_mult`.

    Raises:
        ConfigError: unknown names, an image size that the network cannot take, no weights to
            download, or no connection.
    """
    check_variant(family, variant)
    fixed = {**_size_options(family, variant, image_size), **options}
    try:
        network = models.get_model(variant, weights=None, num_classes=num_classes, **fixed)
    except ValueError as error:
        raise ConfigError(f"{variant} cannot be built: {str(error).rstrip('.')}.") from error
    for module in network.modules():
        if bn_momentum is not None and isinstance(module, nn.BatchNorm2d):
            module.momentum = bn_momentum
    if pretrained:
        state = _download(variant)
        if family == "vit":
            state = interpolate_embeddings(image_size[0], _patch(variant), state)
        load_state(network, state, num_classes=num_classes, source=f"torchvision's {variant}")
    return network


def _size_options(family: str, variant: str, image_size: tuple[int, int]) -> dict[str, Any]:
    """What a constructor wants to know of the image size, and the networks' plain form."""
    height, width = image_size
    if family in ("googlenet", "inception"):
        return PLAIN
    if family == "vit":
        _check_sides(variant, image_size, multiple=_patch(variant), square=True)
        return {"image_size": height}
    if family == "maxvit":
        # Every one of the four stages halves the map, which windows of 7 x 7 must tile.
        _check_sides(variant, image_size, multiple=7 * 32, square=False)
        return {"input_size": (height, width)}
    return {}


def _check_sides(variant: str, image_size: tuple[int, int], *, multiple: int, square: bool) -> None:
    height, width = image_size
    if not height % multiple and not width % multiple and (height == width or not square):
        return
    wanted = f"{'square ' if square else ''}images with sides that are multiples of {multiple}"
    nearest = max(round(max(height, width) / multiple), 1) * multiple
    raise ConfigError(
        f"{variant} takes {wanted}, not {height} x {width} pixels; give data.image_size={nearest}, "
        f"or let it resize them with model.input_size={nearest}."
    )


def _patch(variant: str) -> int:
    return int(variant.rpartition("_")[2])  # the side in pixels: vit_b_16


def _download(variant: str) -> Mapping[str, Tensor]:
    weights = models.get_model_weights(variant).DEFAULT
    try:
        return weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise ConfigError(
            f"model.pretrained=true could not download {weights.url} ({error}); go online once, "
            f"or give a file with model.weights=PATH."
        ) from error
