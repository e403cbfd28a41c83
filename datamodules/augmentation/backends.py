"""The libraries that make a recipe's transforms, each imported only when it is used."""

from importlib import import_module
from typing import Any, Literal

from datamodules.augmentation.operation import Operation
from datamodules.errors import DataError

Backend = Literal["albumentations", "torchvision"]
PIPELINES = {
    "albumentations": "datamodules.augmentation.albumentations_pipeline",
    "torchvision": "datamodules.augmentation.torchvision_pipeline",
}


def require_library(name: str, backend: str) -> None:
    """Refuses a transform of another library than the backend; `name` is its dotted name."""
    library = name.split(".")[0]
    if library in PIPELINES and library != backend:
        raise DataError(
            f"{name} cannot be used with augment.backend={backend}; choose another transform, or "
            f"augment.backend={library}."
        )


def require_support(transform: Any, backend: str) -> None:
    """Refuses an operation that the backend cannot make, and transforms of another library."""
    if not isinstance(transform, Operation):
        kind = type(transform)
        require_library(f"{kind.__module__}.{kind.__qualname__}", backend)
    elif backend not in transform.backends:
        raise DataError(
            f"{type(transform).__name__} cannot be made by {backend}; set "
            f"augment.backend={transform.backends[0]}."
        )


def pipeline_class(backend: str) -> Any:
    """The subclass of `Pipeline` that makes transforms with the backend; imports its library."""
    return import_module(PIPELINES[backend]).LibraryPipeline
