"""The random resized crop (Szegedy et al. 2015, section 6)."""

import math
from random import Random
from types import ModuleType
from typing import Annotated, Any, ClassVar

import cv2
import numpy as np

from datamodules.augmentation.operation import ArrayTransform, Operation
from datamodules.schema import Interval, Probability, Size, Within, declared

Box = tuple[int, int, int, int]  # top, left, height, width in pixels

# Shrinking by less, plain bilinear resizing comes nearer than area averaging to an antialiased
# resize of the photograph, and is four times faster; shrinking by more, fine textures would alias.
AREA_ABOVE = 4 / 3


@declared
class RandomResizedCrop(Operation):
    """A part of random area and aspect ratio at a random place, brought to one size.

    Attributes:
        size: height and width of the result.
        scale: smallest and largest part of the area.
        ratio: narrowest and widest aspect ratio; given relative to the result's, drawn on a log
            scale.
    """

    keys: ClassVar[dict[str, str]] = {"scale": "augment.crop_scale", "ratio": "augment.crop_ratio"}

    size: Size
    scale: Annotated[Interval, Within(1e-6, 1)]
    ratio: Annotated[Interval, Within(1e-3, 1e3)]
    p: Probability = 1

    def __post_init__(self) -> None:
        shape = self.size[1] / self.size[0]
        self.ratio = (self.ratio[0] * shape, self.ratio[1] * shape)

    def for_albumentations(self, A: ModuleType) -> ArrayTransform:
        """`crop`, which shrinks by area averaging where that is better."""
        return self.crop

    def for_torchvision(self, v2: ModuleType) -> Any:
        """`RandomResizedCrop`, antialiased."""
        return v2.RandomResizedCrop(self.size, self.scale, self.ratio, antialias=True)

    def crop(self, image: np.ndarray, random: Random) -> np.ndarray:
        """Uint8 h x w x 3 to uint8 H x W x 3."""
        top, left, height, width = self.box(image.shape[0], image.shape[1], random)
        part = image[top : top + height, left : left + width]
        shrinking = max(height / self.size[0], width / self.size[1])
        interpolation = cv2.INTER_AREA if shrinking > AREA_ABOVE else cv2.INTER_LINEAR
        return cv2.resize(part, self.size[::-1], interpolation=interpolation)

    def box(self, height: int, width: int, random: Random) -> Box:
        """What is cut from an image of height x width pixels.

        Where ten draws do not fit into the image, the middle of it, as wide as is allowed.
        """
        lowest, highest = math.log(self.ratio[0]), math.log(self.ratio[1])
        for _ in range(10):
            area = height * width * random.uniform(*self.scale)
            ratio = math.exp(random.uniform(lowest, highest))
            h, w = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
            if 0 < h <= height and 0 < w <= width:
                top, left = random.random() * (height - h + 1), random.random() * (width - w + 1)
                return int(top), int(left), h, w
        h = min(height, round(width / self.ratio[0]))
        w = min(width, round(height * self.ratio[1]))
        return (height - h) // 2, (width - w) // 2, h, w
