"""Cutout (DeVries and Taylor 2017): a square of the image is hidden."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

from datamodules.augmentation.operation import Operation
from datamodules.decoding import PADDING_COLOR
from datamodules.schema import interval


class Cutout(Operation):
    """A grey square at a random place, all of it inside the image.

    Args:
        area: smallest and largest part of the image's area.
        p: probability.
    """

    def __init__(self, *, area: Sequence[float], p: float) -> None:
        super().__init__(p=p)
        self.area = interval(self._place("area"), area, 0, 0.9)

    def for_albumentations(self, A: ModuleType) -> Any:
        """`Erasing` with squares of gray."""
        return A.Erasing(scale=self.area, ratio=(1, 1), fill=PADDING_COLOR, p=self.p)

    def for_torchvision(self, v2: ModuleType) -> Any:
        """`RandomErasing` with squares of gray."""
        return v2.RandomErasing(p=self.p, scale=self.area, ratio=(1, 1), value=list(PADDING_COLOR))
