"""What makes a network smaller, for any plain PyTorch network; imports only what is asked for."""

from importlib import import_module
from typing import Any

_HOME = {
    "compress": "compression.engine",
    "Context": "compression.step",
    "Entry": "compression.recipe",
    "Recipe": "compression.recipe",
    "Step": "compression.step",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
