"""RandAugment (Cubuk et al. 2020): n random operations, all of one strength."""

import math
from collections.abc import Callable
from random import Random
from types import ModuleType
from typing import Annotated, Any

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from datamodules.augmentation.operation import ArrayTransform, Operation
from datamodules.decoding import PADDING_COLOR
from datamodules.errors import DataError
from datamodules.schema import Probability, Within, declared

MAX_LEVEL = 30


@declared
class RandAugment(Operation):
    """Draws n of the paper's 14 operations, with replacement, each as likely.

    Attributes:
        n: how many operations an image goes through.
        level: their strength, a whole number in 0..max_level.
        max_level: what the strongest is called: 30, or 10 for the numbers of AutoAugment's scale.
    """

    n: Annotated[int, Within(0, 100)]
    level: Annotated[int, Within(0)]
    max_level: Annotated[int, Within(1, 1000)] = MAX_LEVEL
    p: Probability = 1

    def __post_init__(self) -> None:
        if self.level > self.max_level:
            raise DataError(
                f"RandAugment.level={self.level} is not allowed; give a whole number in "
                f"0..{self.max_level}."
            )

    def for_albumentations(self, A: ModuleType) -> ArrayTransform:
        """`augment`: albumentations has no RandAugment."""
        return self.augment

    def for_torchvision(self, v2: ModuleType) -> Any:
        """`RandAugment`, with as many magnitudes as there are levels."""
        augment = v2.RandAugment(
            num_ops=self.n,
            magnitude=self.level,
            num_magnitude_bins=self.max_level + 1,
            interpolation=v2.InterpolationMode.BILINEAR,
            fill=list(PADDING_COLOR),
        )
        return v2.RandomApply([augment], p=self.p)

    def augment(self, image: np.ndarray, random: Random) -> np.ndarray:
        """Uint8 H x W x 3 to the same."""
        picture = Image.fromarray(image)
        for _ in range(self.n):
            change = random.choice(CHANGES)
            strength = self.level / self.max_level
            picture = change(picture, random.choice((-strength, strength)))
        return np.asarray(picture)


# The operations, by Pillow, as in the paper's own code: each of an image and a strength in -1..1,
# whose sign tells the direction where there are two.


def identity(image: Image.Image, strength: float) -> Image.Image:
    """As it is."""
    return image


def auto_contrast(image: Image.Image, strength: float) -> Image.Image:
    """Stretches each channel to the whole range of 0..255."""
    return ImageOps.autocontrast(image)


def equalize(image: Image.Image, strength: float) -> Image.Image:
    """Makes each channel's levels equally frequent."""
    return ImageOps.equalize(image)


def rotate(image: Image.Image, strength: float) -> Image.Image:
    """By up to 30 degrees."""
    return image.rotate(30 * strength, Image.Resampling.BILINEAR, fillcolor=PADDING_COLOR)


def solarize(image: Image.Image, strength: float) -> Image.Image:
    """Inverts values from 255 (weakest) or 0 (strongest) on."""
    return ImageOps.solarize(image, math.ceil(255 * (1 - abs(strength))))


def color(image: Image.Image, strength: float) -> Image.Image:
    """Saturation times 0.1 to 1.9."""
    return ImageEnhance.Color(image).enhance(1 + 0.9 * strength)


def posterize(image: Image.Image, strength: float) -> Image.Image:
    """Keeps 8 (weakest) to 4 bits of each value."""
    return ImageOps.posterize(image, round(8 - 4 * abs(strength)))


def contrast(image: Image.Image, strength: float) -> Image.Image:
    """Times 0.1 to 1.9."""
    return ImageEnhance.Contrast(image).enhance(1 + 0.9 * strength)


def brightness(image: Image.Image, strength: float) -> Image.Image:
    """Times 0.1 to 1.9."""
    return ImageEnhance.Brightness(image).enhance(1 + 0.9 * strength)


def sharpness(image: Image.Image, strength: float) -> Image.Image:
    """Times 0.1 (blurred) to 1.9."""
    return ImageEnhance.Sharpness(image).enhance(1 + 0.9 * strength)


def shear_x(image: Image.Image, strength: float) -> Image.Image:
    """Moves each row by up to 0.3 of its distance from the top."""
    return _affine(image, 1, 0.3 * strength, 0, 0, 1, 0)


def shear_y(image: Image.Image, strength: float) -> Image.Image:
    """Moves each column by up to 0.3 of its distance from the left."""
    return _affine(image, 1, 0, 0, 0.3 * strength, 1, 0)


def translate_x(image: Image.Image, strength: float) -> Image.Image:
    """By up to 150 / 331 of the width."""
    return _affine(image, 1, 0, int(strength * image.width * 150 / 331), 0, 1, 0)


def translate_y(image: Image.Image, strength: float) -> Image.Image:
    """By up to 150 / 331 of the height."""
    return _affine(image, 1, 0, 0, 0, 1, int(strength * image.height * 150 / 331))


def _affine(image: Image.Image, *matrix: float) -> Image.Image:
    """Pixel (x, y) of the result is that at (a x + b y + c, d x + e y + f)."""
    return image.transform(
        image.size,
        Image.Transform.AFFINE,
        matrix,
        resample=Image.Resampling.BILINEAR,
        fillcolor=PADDING_COLOR,
    )


CHANGES: tuple[Callable[[Image.Image, float], Image.Image], ...] = (
    identity, auto_contrast, equalize, rotate, solarize, color, posterize, contrast, brightness,
    sharpness, shear_x, shear_y, translate_x, translate_y,
)  # fmt: skip
