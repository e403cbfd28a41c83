"""Pipelines of albumentations' transforms; the only module that imports albumentations."""

from collections.abc import Sequence
from typing import Any

import albumentations as A
import numpy as np

from datamodules.augmentation.operation import ArrayTransform, Operation
from datamodules.augmentation.pipeline import Pipeline
from datamodules.errors import DataError


class LibraryPipeline(Pipeline):
    """Transforms one after the other, as `albumentations.Compose` would, without its price.

    That is what it does for every image and is done once here: making two generators, handing them
    to all transforms, checking arguments and shapes.
    """

    library = "albumentations"

    def __init__(self, transforms: Sequence[Any], *, seed: int) -> None:
        self.bits = np.random.PCG64(0)
        self.generator = np.random.Generator(self.bits)
        super().__init__(transforms, seed=seed)

    def reseed(self, seed: int) -> None:
        """Start the streams of albumentations and of this package anew."""
        super().reseed(seed)
        self.bits.state = {
            "bit_generator": "PCG64",
            "state": {"state": seed << 64 | seed, "inc": 1},
            "has_uint32": 0,
            "uinteger": 0,
        }

    def make(self, operation: Operation) -> Any:
        """The transform of albumentations for an operation, or an ArrayTransform."""
        return operation.for_albumentations(A)

    def adapt(self, transform: Any) -> ArrayTransform | None:
        """An ArrayTransform that applies a transform of albumentations; checks its arguments.

        Raises:
            DataError: albumentations refuses an argument.
        """
        if not isinstance(transform, A.BasicTransform | A.BaseCompose):
            return None
        try:
            A.Compose([transform], strict=True)
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise DataError(f"The augmentation cannot be built: {reason}.") from error
        transform.set_random_state(self.generator, self.random)
        return lambda image, _: transform(image=image)["image"]
