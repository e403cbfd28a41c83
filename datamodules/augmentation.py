"""Augmentation by albumentations, as a pure function of an image and a seed."""

import os
import random
from collections.abc import Sequence

# albumentations looks for a newer version when it is imported.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

import albumentations as A
import cv2
import numpy as np

from datamodules.decoding import as_size, resize
from datamodules.errors import DataError

# OpenCV's threads would only take cores from the training threads, at sizes this small.
cv2.setNumThreads(0)


class Albumentations:
    """A random resized crop, then a list of albumentations transforms.

    Args:
        image_size: Size of the result: side of a square or [H, W], in pixels.
        crop_scale: Smallest and largest part of the area that is kept; None does not crop.
        crop_ratio: Narrowest and widest aspect ratio of the part, relative to the result's.
        transforms: albumentations transforms, in order.

    Raises:
        DataError: a transform or the crop does not know one of its arguments.
    """

    def __init__(
        self,
        *,
        image_size: int | Sequence[int],
        crop_scale: Sequence[float] | None = None,
        crop_ratio: Sequence[float] = (3 / 4, 4 / 3),
        transforms: Sequence[A.BasicTransform | A.BaseCompose] = (),
    ) -> None:
        self.size = as_size(image_size)
        self.crops = crop_scale is not None
        try:
            crop = [_random_crop(self.size, crop_scale, crop_ratio)] if self.crops else []
            self.compose = A.Compose([*crop, *transforms], strict=True)
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise DataError(f"The augmentation cannot be built: {reason}.") from error

    def __call__(self, image: np.ndarray, seed: int) -> np.ndarray:
        """Augment one image: uint8 h x w x 3 of any size to uint8 H x W x 3."""
        # One pair of generators for all transforms: `set_random_seed` would give each its own
        # from the same seed, and two transforms of p=0.5 would always go together.
        self.compose.set_random_state(np.random.default_rng(seed), random.Random(seed))
        return resize(self.compose(image=image)["image"], self.size)


def _random_crop(
    size: tuple[int, int], scale: Sequence[float], ratio: Sequence[float]
) -> A.RandomResizedCrop:
    shape = size[1] / size[0]
    # Shrinking by area averaging, else fine textures would alias.
    return A.RandomResizedCrop(
        size=size,
        scale=tuple(scale),
        ratio=(ratio[0] * shape, ratio[1] * shape),
        area_for_downscale="image",
    )
