"""Random brightness, contrast, saturation and hue."""

from operator import mul
from random import Random
from types import ModuleType
from typing import Annotated, Any

import cv2
import numpy as np

from datamodules.augmentation.operation import ArrayTransform, Operation
from datamodules.schema import Interval, Within, declared

LUMA = (0.299, 0.587, 0.114)  # ITU-R 601: how bright red, green and blue look
# Matrices that leave colours as they are, and that make all three channels grey.
KEEP, GRAY = np.eye(3), np.tile(LUMA, (3, 1))


Factor = Annotated[Interval, Within(0, 10)]


@declared
class ColorJitter(Operation):
    """Four changes of colour in random order, each with a factor (or shift) of its own.

    Attributes:
        brightness: smallest and largest factor.
        contrast: smallest and largest factor, about the image's mean brightness.
        saturation: smallest and largest factor, about each pixel's brightness.
        hue: smallest and largest shift, as a part of the colour circle.
    """

    brightness: Factor
    contrast: Factor
    saturation: Factor
    hue: Annotated[Interval, Within(-0.5, 0.5)]

    def for_albumentations(self, A: ModuleType) -> ArrayTransform:
        """`jitter`, for speed."""
        # The library's own takes twice the time, most of what a whole recipe may take.
        return self.jitter

    def for_torchvision(self, v2: ModuleType) -> Any:
        """`ColorJitter`."""
        jitter = v2.ColorJitter(self.brightness, self.contrast, self.saturation, self.hue)
        return v2.RandomApply([jitter], p=self.p)

    def jitter(self, image: np.ndarray, random: Random) -> np.ndarray:
        """Uint8 H x W x 3 to the same."""
        changes = [
            (adjust_brightness, random.uniform(*self.brightness)),
            (adjust_contrast, random.uniform(*self.contrast)),
            (adjust_saturation, random.uniform(*self.saturation)),
            (adjust_hue, random.uniform(*self.hue)),
        ]
        random.shuffle(changes)
        for adjust, amount in changes:
            image = adjust(image, amount)
        return image


def adjust_brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """Blend with black (factor below 1), or away from it."""
    return cv2.convertScaleAbs(image, alpha=factor)


def adjust_contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Blend with the image's mean grey, or away from it."""
    mean = sum(map(mul, LUMA, cv2.mean(image)))
    return cv2.addWeighted(image, factor, image, 0, (1 - factor) * mean)


def adjust_saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """Blend with the grey image, or away from it."""
    return cv2.transform(image, factor * KEEP + (1 - factor) * GRAY)


def adjust_hue(image: np.ndarray, shift: float) -> np.ndarray:
    """Turn the colour circle by a part of it, to the nearest 256th."""
    turn = round(256 * shift)
    if turn == 0:
        return image
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)  # hue takes all of 0..255, so it wraps
    row = np.zeros((hsv.shape[1], 3), np.uint8)
    row[:, 0] = turn % 256
    hsv += row
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)
