"""`Operation`: one random change of an image, said once for every backend."""

from collections.abc import Callable
from random import Random
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from datamodules.schema import Probability, declared

# Changes uint8 h x w x 3 into uint8 of any size, with draws from a generator; never in place.
ArrayTransform = Callable[[np.ndarray, Random], np.ndarray]


@declared
class Operation:
    """Ranges and a probability, and how each backend makes a transform of them.

    A backend's method gets the library (so that no operation imports it) and returns one of its
    transforms, which knows its probability, or an `ArrayTransform`, which is then applied with
    probability `p`.

    Attributes:
        backends: the libraries that can make it.
        p: probability.
    """

    backends: ClassVar[tuple[str, ...]] = ("albumentations", "torchvision")

    p: Probability

    def for_albumentations(self, A: ModuleType) -> Any:
        """A transform of `albumentations`, or an ArrayTransform."""
        raise NotImplementedError

    def for_torchvision(self, v2: ModuleType) -> Any:
        """A transform of `torchvision.transforms.v2`, or an ArrayTransform."""
        raise NotImplementedError
