"""CLAHE: contrast limited adaptive histogram equalisation (Zuiderveld 1994)."""

from collections.abc import Sequence
from random import Random
from types import ModuleType
from typing import Any

import cv2
import numpy as np

from datamodules.augmentation.operation import ArrayTransform, Operation
from datamodules.schema import grid, interval


class Clahe(Operation):
    """Equalises the lightness (L of CIELAB) tile by tile; colours stay.

    Args:
        clip_limit: smallest and largest limit of contrast; 1 changes little.
        tiles: rows and columns of tiles.
        p: probability.
    """

    def __init__(self, *, clip_limit: Sequence[float], tiles: Sequence[int], p: float) -> None:
        super().__init__(p=p)
        self.clip_limit = interval(self._place("clip_limit"), clip_limit, 1, 100)
        self.tiles = grid(self._place("tiles"), tiles)

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
