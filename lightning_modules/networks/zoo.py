"""torchvision's classification networks, by family and variant."""

from typing import Any

from torch import nn
from torchvision import models

from lightning_modules.errors import ConfigError
from lightning_modules.networks.variants import check_variant
from lightning_modules.networks.weights import load_state


def torchvision_network(
    *, family: str, variant: str, num_classes: int, pretrained: bool = False, **options: Any
) -> nn.Module:
    """A network of torchvision: normalised N x 3 x H x W -> logits N x `num_classes`.

    Args:
        family: a key of `variants.FAMILIES`.
        variant: torchvision's name of the network, such as `resnet18`.
        num_classes: outputs of the head.
        pretrained: start from torchvision's default ImageNet weights, downloaded once; a head of
            another size starts anew.
        options: passed on to torchvision, such as `dropout` or `width_mult`.

    Raises:
        ConfigError: unknown names, no weights to download, or no connection.
    """
    check_variant(family, variant)
    network = models.get_model(variant, weights=None, num_classes=num_classes, **options)
    if pretrained:
        weights = models.get_model_weights(variant).DEFAULT
        try:
            state = weights.get_state_dict(progress=False, check_hash=True)
        except (OSError, RuntimeError) as error:
            raise ConfigError(
                f"model.pretrained=true could not download {weights.url} ({error}); go online "
                f"once, or give a file with model.weights=PATH."
            ) from error
        load_state(network, state, num_classes=num_classes, source=weights.url)
    return network
