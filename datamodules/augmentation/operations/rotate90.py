"""Quarter turns."""

from random import Random
from types import ModuleType
from typing import Any

import numpy as np

from datamodules.augmentation.operation import ArrayTransform, Operation


class Rotate90(Operation):
    """A turn by 0, 90, 180 or 270 degrees, each as likely; a wide image becomes a high one."""

    def for_albumentations(self, A: ModuleType) -> Any:
        """`RandomRotate90`."""
        return A.RandomRotate90(p=self.p)

    def for_torchvision(self, v2: ModuleType) -> ArrayTransform:
        """`turn`: torchvision has no such transform."""
        return turn


def turn(image: np.ndarray, random: Random) -> np.ndarray:
    """Uint8 h x w x 3 to uint8 h x w x 3 or w x h x 3."""
    return np.ascontiguousarray(np.rot90(image, random.randrange(4)))
