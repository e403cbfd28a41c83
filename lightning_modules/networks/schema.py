"""What a model node may say, checked without torch; the names of torchvision's networks."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from lightning_modules.errors import ConfigError
from lightning_modules.networks.blocks.row_file import names_row_file, with_rows
from lightning_modules.registry import ROOTS, how_to_find, plain
from lightning_modules.schema import Flag, Positive, Text, check_settings, declared, nearest

FAMILIES: dict[str, tuple[str, ...]] = {
    "mnasnet": ("mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3"),
    "shufflenet_v2": (
        "shufflenet_v2_x0_5",
        "shufflenet_v2_x1_0",
        "shufflenet_v2_x1_5",
        "shufflenet_v2_x2_0",
    ),
    "mobilenet_v2": ("mobilenet_v2",),
    "mobilenet_v3": ("mobilenet_v3_small", "mobilenet_v3_large"),
    "resnet": (
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "resnet152",
        "resnext50_32x4d",
        "resnext101_32x8d",
        "resnext101_64x4d",
        "wide_resnet50_2",
        "wide_resnet101_2",
    ),
    "efficientnet": (
        "efficientnet_b0",
        "efficientnet_b1",
        "efficientnet_b2",
        "efficientnet_b3",
        "efficientnet_b4",
        "efficientnet_b5",
        "efficientnet_b6",
        "efficientnet_b7",
        "efficientnet_v2_s",
        "efficientnet_v2_m",
        "efficientnet_v2_l",
    ),
    "squeezenet": ("squeezenet1_0", "squeezenet1_1"),
    "alexnet": ("alexnet",),
    "convnext": ("convnext_tiny", "convnext_small", "convnext_base", "convnext_large"),
    "densenet": ("densenet121", "densenet161", "densenet169", "densenet201"),
    "googlenet": ("googlenet",),
    "inception": ("inception_v3",),
    "maxvit": ("maxvit_t",),
    "regnet": (
        "regnet_x_400mf",
        "regnet_x_800mf",
        "regnet_x_1_6gf",
        "regnet_x_3_2gf",
        "regnet_x_8gf",
        "regnet_x_16gf",
        "regnet_x_32gf",
        "regnet_y_400mf",
        "regnet_y_800mf",
        "regnet_y_1_6gf",
        "regnet_y_3_2gf",
        "regnet_y_8gf",
        "regnet_y_16gf",
        "regnet_y_32gf",
        "regnet_y_128gf",
    ),
    "swin": ("swin_t", "swin_s", "swin_b", "swin_v2_t", "swin_v2_s", "swin_v2_b"),
    "vgg": ("vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn"),
    "vit": ("vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32", "vit_h_14"),
}


TORCHVISION = "lightning_modules.networks.zoo.torchvision_network"


def check_variant(family: str, variant: str) -> None:
    """Refuse what the family does not have.

    Raises:
        ConfigError: lists the families or the variants that exist, the nearest first.
    """
    if family not in FAMILIES:
        raise ConfigError(
            f"There is no model.family {family!r}; there are {', '.join(sorted(FAMILIES))}."
        )
    names = FAMILIES[family]
    if variant not in names:
        raise ConfigError(
            f"There is no model.variant {variant!r} in {family}{nearest(variant, names)}; choose "
            f"one of {', '.join(names)}."
        )


@declared(more="ignore")
class ModelSettings:
    """A `model` node; what is not declared is the network's own."""

    pretrained: Flag = False
    weights: Text | None = None
    weights_key: Text | None = None
    partial_weights: Flag = False
    normalize: Flag = True
    scale: Positive = 1
    channel_order: Literal["rgb", "bgr"] | None = "rgb"
    cosine_scale: Positive | None = None

    def __post_init__(self) -> None:
        if self.weights is None:
            for key in ("weights_key", "partial_weights"):
                if getattr(self, key):
                    raise ValueError(
                        f"{{place}}.{key}={getattr(self, key)} says how to read a file; give it as "
                        "{place}.weights=PATH."
                    )
            return
        if self.pretrained:
            raise ValueError(
                f"{{place}}.pretrained=true and {{place}}.weights={self.weights} exclude each "
                "other; keep one of them."
            )
        if not Path(self.weights).is_file():
            raise ValueError(f"{{place}}.weights={self.weights}: there is no such file.")


def check_model(model: DictConfig, place: str) -> None:
    """Refuses a model node whose names or files do not exist; `place` is its key.

    Raises:
        ConfigError: one sentence on the first mistake found.
    """
    node = resolved(model, place)
    check_settings(ModelSettings, node, place)
    if names_row_file(node):  # from here on the run knows the rows themselves
        OmegaConf.update(model, "blocks", None, merge=False)
        with open_dict(model):
            model.update(with_rows(node, place))
    if node.get("_target_") is not None:
        _check_target(str(node["_target_"]), place)
    if node.get("_target_") == TORCHVISION:
        check_variant(node["family"], node["variant"])


def _check_target(target: str, place: str) -> None:
    package, _, rest = target.partition(".")
    if not rest:
        raise ConfigError(
            f"{place}._target_={target} is no class or function; give module and name, as in "
            f"{place}._target_=my_net.Net for the class Net in my_net.py."
        )
    if package not in (*ROOTS, *sys.modules) and find_spec(package) is None:
        missing = ModuleNotFoundError(f"No module named {package!r}", name=package)
        raise ConfigError(f"{place}._target_={target}: {missing}{how_to_find(missing, target)}.")


def resolved(node: DictConfig, place: str) -> dict[str, Any]:
    """The node as plain values.

    Raises:
        ConfigError: one of its interpolations names nothing.
    """
    try:
        return plain(node)
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ConfigError(f"{error.full_key or place} cannot be resolved: {reason}.") from error
