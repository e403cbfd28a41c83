"""Activations by name, matched without case."""

from torch import nn

from lightning_modules.errors import ConfigError
from lightning_modules.networks.blocks.registry import nearest

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "ReLU": nn.ReLU,
    "ReLU6": nn.ReLU6,
    "LeakyReLU": nn.LeakyReLU,
    "PReLU": nn.PReLU,
    "ELU": nn.ELU,
    "SELU": nn.SELU,
    "CELU": nn.CELU,
    "GELU": nn.GELU,
    "SiLU": nn.SiLU,
    "Swish": nn.SiLU,  # its first name
    "Mish": nn.Mish,
    "Hardswish": nn.Hardswish,
    "Hardsigmoid": nn.Hardsigmoid,
    "Hardtanh": nn.Hardtanh,
    "Sigmoid": nn.Sigmoid,
    "Softplus": nn.Softplus,
    "Tanh": nn.Tanh,
}
_BY_LOWER = {name.lower(): activation for name, activation in ACTIVATIONS.items()}


def activation(name: str | None) -> nn.Module:
    """A new activation; None: nothing at all.

    Raises:
        ConfigError: there is none of that name; the nearest names are said.
    """
    if name is None:
        return nn.Identity()
    if name.lower() not in _BY_LOWER:
        raise ConfigError(f"there is no activation {name!r}; {nearest(name, ACTIVATIONS)}")
    return _BY_LOWER[name.lower()]()
