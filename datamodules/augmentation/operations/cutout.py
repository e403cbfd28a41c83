"""Cutout (DeVries and Taylor 2017): a square of the image is hidden."""

from types import ModuleType
from typing import Annotated, Any

from datamodules.augmentation.operation import Operation
from datamodules.decoding import PADDING_COLOR
from datamodules.schema import Interval, Within, declared


@declared
class Cutout(Operation):
    """A grey square at a random place, all of it inside the image.

    Attributes:
        area: smallest and largest part of the image's area.
    """

    area: Annotated[Interval, Within(0, 0.9)]

    def for_albumentations(self, A: ModuleType) -> Any:
        """`Erasing` with squares of gray."""
        return A.Erasing(scale=self.area, ratio=(1, 1), fill=PADDING_COLOR, p=self.p)

    def for_torchvision(self, v2: ModuleType) -> Any:
        """`RandomErasing` with squares of gray."""
        return v2.RandomErasing(p=self.p, scale=self.area, ratio=(1, 1), value=list(PADDING_COLOR))
