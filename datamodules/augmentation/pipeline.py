"""`Pipeline`: a recipe's transforms and the generators they draw from, for one thread."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from random import Random
from typing import Any

import cv2
import numpy as np

from datamodules.augmentation.operation import ArrayTransform, Operation
from datamodules.errors import DataError

# OpenCV's threads would only take cores from the training threads, at sizes this small.
cv2.setNumThreads(0)


class Pipeline(ABC):
    """Applies a recipe's transforms, in order, with draws that follow from (seed, epoch, index).

    All transforms draw from the same streams, one after the other: with generators for each, seeded
    alike, two operations of p=0.5 would always go together. Generators have a state, so a pipeline
    belongs to one thread.

    Args:
        transforms: operations, or the library's own transforms, which the pipeline may change.
        seed: of all draws.

    Raises:
        DataError: a transform is none of the library.
    """

    library: str

    def __init__(self, transforms: Sequence[Any], *, seed: int) -> None:
        self.seed = seed
        self.random = Random()
        self.transforms = [self._array_transform(transform) for transform in transforms]

    def __call__(self, image: np.ndarray, epoch: int, index: int) -> np.ndarray:
        """Uint8 h x w x 3 to an image of any size; `image` itself stays as it is."""
        self.reseed(sample_seed(self.seed, epoch, index))
        return self.run(image)

    def reseed(self, seed: int) -> None:
        """Start all streams anew from a 64-bit number."""
        self.random.seed(seed)

    def run(self, image: np.ndarray) -> np.ndarray:
        """Apply all transforms to uint8 h x w x 3."""
        for transform in self.transforms:
            image = transform(image, self.random)
        return image

    @abstractmethod
    def make(self, operation: Operation) -> Any:
        """The library's transform for an operation, or an ArrayTransform."""

    @abstractmethod
    def adapt(self, transform: Any) -> ArrayTransform | None:
        """An ArrayTransform that does a transform of the library; None where it is not one."""

    def _array_transform(self, transform: Any) -> ArrayTransform:
        if isinstance(transform, Operation):
            made = self.make(transform)
            return self.adapt(made) or _sometimes(made, transform.p)
        adapted = self.adapt(transform)
        if adapted is None:
            raise DataError(f"{transform!r} in the augmentation is no transform of {self.library}.")
        return adapted


def _sometimes(transform: ArrayTransform, p: float) -> ArrayTransform:
    if p == 1:
        return transform
    return lambda image, random: transform(image, random) if random.random() < p else image


def sample_seed(seed: int, epoch: int, index: int) -> int:
    """A 64-bit seed for one image in one epoch: splitmix64 (Steele, Lea, Flood 2014), chained."""
    state = 0
    for value in (seed, epoch, index):
        state = _splitmix64(state ^ value)
    return state


def _splitmix64(value: int) -> int:
    mask = (1 << 64) - 1
    value = (value + 0x9E3779B97F4A7C15) & mask
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
    return value ^ (value >> 31)
