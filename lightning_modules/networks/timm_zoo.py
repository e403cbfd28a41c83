"""timm's networks by name."""

from difflib import get_close_matches
from typing import Any

import timm
from torch import nn

from lightning_modules.errors import ConfigError

# Other ways to name weights: timm would unpickle such files, and a saved run could name one.
REFUSED = ("checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")


def timm_network(
    *,
    variant: str,
    num_classes: int,
    image_size: tuple[int, int] = (224, 224),
    pretrained: bool = False,
    **options: Any,
) -> nn.Module:
    """A network of timm: normalised N x 3 x H x W -> logits N x `num_classes`.

    Args:
        variant: timm's name of the network, such as `resnet50d`; a tag chooses among several
            weights (`resnet50.a1_in1k`).
        num_classes: outputs of the head.
        image_size: (height, width) in pixels, for networks that are made for one size.
        pretrained: start from timm's weights, downloaded once; a head of another size starts anew.
        options: passed on to timm, such as `drop_path_rate`.

    Raises:
        ConfigError: no such network (says the nearest), an image size that it cannot take, no
            weights to download, or no connection.
    """
    check_name(variant)
    for key in REFUSED:
        if key in options:
            raise ConfigError(
                f"model.{key} is not taken; weights come from model.pretrained=true or "
                f"model.weights=PATH."
            )
    if pretrained and not timm.is_model_pretrained(variant):
        raise ConfigError(
            f"timm has no weights for {variant}; leave model.pretrained=false and give a file with "
            f"model.weights=PATH."
        )
    settings = {"num_classes": num_classes, **options}
    if "img_size" not in settings:
        settings["img_size"] = image_size
    network, settings = _create(variant, settings)
    return _pretrained(variant, settings) if pretrained else network


def check_name(variant: str) -> None:
    """Refuse a name that timm does not know.

    Raises:
        ConfigError: with the nearest names.
    """
    if isinstance(variant, str) and ":" not in variant and timm.is_model(variant):
        return
    near = get_close_matches(str(variant).partition(".")[0], timm.list_models(), n=3, cutoff=0.5)
    guess = f"; did you mean {', '.join(near)}?" if near else "; timm.list_models() lists them."
    raise ConfigError(f"timm has no network {variant!r}{guess}")


def _create(variant: str, settings: dict[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    """The network, and the settings that it took: most convolutional ones take no `img_size`."""
    try:
        return timm.create_model(variant, **settings), settings
    except TypeError as error:
        if "img_size" not in str(error):
            raise
    except (AssertionError, ValueError) as error:
        known = timm.get_pretrained_cfg(variant)
        assert known is not None  # timm has it under this name
        made_for = known.input_size[1:]
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise ConfigError(
            f"{variant} cannot be built for images of {settings['img_size']} pixels ({reason}); it "
            f"was made for {made_for}: let it resize them with model.input_size={made_for[0]}."
        ) from error
    settings = {key: value for key, value in settings.items() if key != "img_size"}
    return timm.create_model(variant, **settings), settings


def _pretrained(variant: str, settings: dict[str, Any]) -> nn.Module:
    try:
        return timm.create_model(variant, pretrained=True, **settings)
    except Exception as error:  # every way of downloading raises its own kinds
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise ConfigError(
            f"model.pretrained=true could not load timm's weights of {variant} ({reason}); go "
            f"online once, or give a file with model.weights=PATH."
        ) from error
