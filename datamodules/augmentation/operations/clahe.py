"""CLAHE: contrast limited adaptive histogram equalisation (Zuiderveld 1994)."""

from random import Random
from types import ModuleType
from typing import Annotated, Any

import cv2
import numpy as np

from datamodules.augmentation.operation import ArrayTransform, Operation
from datamodules.schema import Grid, Interval, Within, declared


@declared
class Clahe(Operation):
    """Equalises the lightness (L of CIELAB) tile by tile; colours stay.

    Attributes:
        clip_limit: smallest and largest limit of contrast; 1 changes little.
        tiles: rows and columns of tiles.
    """

    clip_limit: Annotated[Interval, Within(1, 100)]
    tiles: Grid

    def for_albumentations(self, A: ModuleType) -> Any:
        """`CLAHE`."""
        # OpenCV wants columns first.
        return A.CLAHE(clip_limit=self.clip_limit, tile_grid_size=self.tiles[::-1], p=self.p)

    def for_torchvision(self, v2: ModuleType) -> ArrayTransform:
        """`equalize`: torchvision has no such transform."""
        return self.equalize

    def equalize(self, image: np.ndarray, random: Random) -> np.ndarray:
        """Uint8 H x W x 3 to the same."""
        lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
        clahe = cv2.createCLAHE(random.uniform(*self.clip_limit), self.tiles[::-1])
        lab[..., 0] = clahe.apply(lab[..., 0])
        return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
