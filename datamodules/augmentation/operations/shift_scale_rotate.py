"""Small shifts, changes of size and turns about the middle, in one resampling."""

from types import ModuleType
from typing import Annotated, Any

import cv2

from datamodules.augmentation.operation import Operation
from datamodules.decoding import PADDING_COLOR
from datamodules.schema import Interval, Within, declared


@declared
class ShiftScaleRotate(Operation):
    """An affine change without shear; what comes from outside the image is grey.

    Attributes:
        shift: largest shift, as a part of the side, in both directions of both axes.
        scale: smallest and largest factor of the size.
        rotate: smallest and largest angle in degrees, clockwise.
    """

    shift: Annotated[float, Within(0, 1)]
    scale: Annotated[Interval, Within(1e-3, 1e3)]
    rotate: Annotated[Interval, Within(-180, 180)]

    def for_albumentations(self, A: ModuleType) -> Any:
        """`Affine`, whose angles run the other way round."""
        shifts = (-self.shift, self.shift)
        low, high = self.rotate
        return A.Affine(
            translate_percent={"x": shifts, "y": shifts},
            scale=self.scale,
            keep_ratio=True,
            rotate=(-high, -low),  # it turns the other way round
            border_mode=cv2.BORDER_CONSTANT,
            fill=PADDING_COLOR,
            p=self.p,
        )

    def for_torchvision(self, v2: ModuleType) -> Any:
        """`RandomAffine`."""
        affine = v2.RandomAffine(
            degrees=self.rotate,
            translate=(self.shift, self.shift),
            scale=self.scale,
            interpolation=v2.InterpolationMode.BILINEAR,
            fill=list(PADDING_COLOR),
        )
        return v2.RandomApply([affine], p=self.p)
