"""`Recipe`: what happens to a training image, as a pure function of (seed, epoch, index).

`rand_augment` and `auto_augment` end a recipe with a published policy, whose few numbers are the
recipe's own keys.
"""

import copy
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np

from datamodules.augmentation.backends import Backend, pipeline_class, require_support
from datamodules.augmentation.operations.random_resized_crop import RandomResizedCrop
from datamodules.decoding import resize
from datamodules.errors import DataError
from datamodules.schema import Flag, Within, as_size, declared

if TYPE_CHECKING:
    from datamodules.augmentation.pipeline import Pipeline


Transforms = Sequence[Any] | Mapping[str, Any]


@declared
class Recipe:
    """A random resized crop, then transforms, then a resize where these changed the size.

    Threads may call it at the same time: each has generators and transforms of its own.

    Args:
        image_size: size of the result: side of a square or [H, W], in pixels.
        backend: whose transforms are used, albumentations or torchvision: the same ranges and
            probabilities, other pixels.
        seed: with epoch and index, decides every draw.
        crop_scale: smallest and largest part of the area that is kept; None does not crop.
        crop_ratio: narrowest and widest aspect ratio of the part, relative to the result's.
        transforms: operations, or transforms of the backend's own, in order; a mapping gives each a
            name by which a command line can change it.
        lazy: import the backend's library at the first image instead of here.

    Attributes:
        crops: whether images larger than the result are wanted.

    Raises:
        DataError: a value is not allowed, or the backend cannot make one of the transforms.
    """

    place: ClassVar[str] = "augment"

    image_size: Any
    backend: Backend = "albumentations"
    seed: Annotated[int, Within(0, 2**64 - 1)] = 0
    crop_scale: Any = None
    crop_ratio: Any = (3 / 4, 4 / 3)
    transforms: Any = ()
    lazy: Flag = False

    def __post_init__(self) -> None:
        self.size = as_size(self.image_size)
        self.crops = self.crop_scale is not None
        self.transforms = in_order(self.transforms)
        if self.crops:
            crop = RandomResizedCrop(size=self.size, scale=self.crop_scale, ratio=self.crop_ratio)
            self.transforms.insert(0, crop)
        for transform in self.transforms:
            require_support(transform, self.backend)
        self._threads = threading.local()
        if not self.lazy:
            self._pipeline()

    def __call__(self, image: np.ndarray, epoch: int, index: int) -> np.ndarray:
        """Augment image `index` in an epoch: uint8 h x w x 3 of any size to uint8 H x W x 3.

        Raises:
            DataError: a transform of the backend's own gave something else than uint8 pixels.
        """
        pixels = self._pipeline()(image, epoch, index)
        if pixels.dtype != np.uint8 or pixels.shape[2:] != (3,):
            raise DataError(
                f"The augmentation gives {pixels.dtype} of shape {pixels.shape}, not uint8 pixels: "
                "leave out conversions and normalisation, which the network does itself."
            )
        return resize(pixels, self.size)

    def _pipeline(self) -> "Pipeline":
        """The one of this thread."""
        pipeline = getattr(self._threads, "pipeline", None)
        if pipeline is None:
            make = pipeline_class(self.backend)
            pipeline = make(copy.deepcopy(self.transforms), seed=self.seed)
            self._threads.pipeline = pipeline
        return pipeline

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_threads"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _threads=threading.local())


def rand_augment(
    *, n: int, level: int, max_level: int, transforms: Transforms = (), **recipe: Any
) -> Recipe:
    """A `Recipe` that ends with RandAugment.

    Args:
        n, level, max_level: see `RandAugment`.
        transforms: what happens before.
        recipe: arguments of `Recipe`.
    """
    from datamodules.augmentation.operations.rand_augment import RandAugment

    last = RandAugment(n=n, level=level, max_level=max_level)
    return Recipe(transforms=[*in_order(transforms), last], **recipe)


def auto_augment(*, policy: Any, transforms: Transforms = (), **recipe: Any) -> Recipe:
    """A `Recipe` that ends with AutoAugment.

    Args:
        policy: see `AutoAugment`.
        transforms: what happens before.
        recipe: arguments of `Recipe`.
    """
    from datamodules.augmentation.operations.auto_augment import AutoAugment

    return Recipe(transforms=[*in_order(transforms), AutoAugment(policy=policy)], **recipe)


def in_order(transforms: Transforms) -> list[Any]:
    """The transforms of a sequence, or of a mapping from names to them."""
    return list(transforms.values() if isinstance(transforms, Mapping) else transforms)
