"""Architectures in plain PyTorch: the zoo, building, saving and loading a network.

Nothing is imported until asked for, so that names can be checked without torch.
"""

from importlib import import_module
from typing import Any

_HOME = {
    "BlockNetwork": "lightning_modules.networks.blocks.network",
    "Network": "lightning_modules.networks.network",
    "build_network": "lightning_modules.networks.building",
    "load_network": "lightning_modules.networks.saved",
    "load_recipe": "lightning_modules.networks.saved",
    "meta_network": "lightning_modules.networks.building",
    "load_weights": "lightning_modules.networks.weights",
    "save_network": "lightning_modules.networks.saved",
    "to_rows": "lightning_modules.networks.blocks.writing",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
