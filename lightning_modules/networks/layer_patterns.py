"""Naming layers by patterns: `body.features.*`, or `head` for the classifier's last layer."""

from torch import nn

from compression.errors import CompressionError
from compression.step import match_layers
from lightning_modules.errors import ConfigError
from lightning_modules.networks import Network
from lightning_modules.networks.weights import head_keys

HEAD = "head"


def layers(network: nn.Module) -> dict[str, nn.Module]:
    """The modules that hold parameters or buffers of their own, by name."""
    return {
        name: module
        for name, module in network.named_modules()
        if name and (module._parameters or module._buffers)
    }


def matching_layers(network: Network, pattern: str, *, strict: bool = True) -> set[str]:
    """Names of the layers that a pattern means, those below a matching module included.

    Args:
        network: whose layers are named.
        pattern: a name of a module, with `*` and `?`; or `head`, the last layer with one output a
            class and its norm.
        strict: refuse a pattern that matches no module.

    Raises:
        ConfigError: nothing matches; says the nearest names.
    """
    if pattern == HEAD:
        return head_layers(network)
    names = [name for name, _ in network.named_modules() if name]
    try:
        roots = match_layers(names, [pattern], [])
    except CompressionError as error:
        if strict:
            raise ConfigError(str(error)) from None
        return set()
    return {
        name for name in layers(network) if any(f"{name}.".startswith(f"{root}.") for root in roots)
    }


def head_layers(network: Network) -> set[str]:
    """Names of the layers that turn features into logits.

    Raises:
        ConfigError: no layer has one output a class.
    """
    keys = head_keys(network.body, network.num_classes)
    if not keys:
        raise ConfigError(
            f"The network has no Linear or 1x1 convolution with {network.num_classes} outputs that "
            "could be its head; name layers by patterns instead."
        )
    return {f"body.{key.rpartition('.')[0]}".removesuffix(".") for key in keys}
