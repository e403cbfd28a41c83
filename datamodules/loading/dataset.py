"""Batches of one split: keys in, uint8 tensors out."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch.utils.data import Dataset

from datamodules.cache import Pixels
from datamodules.decoding import resize
from datamodules.loading.sampling import Key
from datamodules.schema import Size

Batch = tuple[torch.Tensor, torch.Tensor] | tuple[torch.Tensor, torch.Tensor, np.ndarray]


class Augmentation(Protocol):
    """Makes a training image uint8 H x W x 3 of uint8 h x w x 3.

    A pure function, so that runs are equal for any number of workers: all draws follow from a seed
    of its own, the epoch and the index of the image in its split.
    """

    crops: bool  # whether images larger than the batch are wanted

    def __call__(self, image: np.ndarray, epoch: int, index: int) -> np.ndarray: ...


class ImageDataset(Dataset[Batch]):
    """One split, read a batch at a time.

    Args:
        pixels: the split's images, each uint8 h x w x 3.
        labels: their class indices.
        size: height and width of the batches.
        augmentation: called with an image, its epoch and index; None only resizes.
        keyed: batches say their keys too.
    """

    def __init__(
        self,
        *,
        pixels: Pixels,
        labels: Sequence[int],
        size: Size,
        augmentation: Augmentation | None = None,
        keyed: bool = False,
    ) -> None:
        self.pixels = pixels
        self.labels = torch.tensor(labels, dtype=torch.int64)
        self.size = size
        self.augmentation = augmentation
        self.keyed = keyed

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, keys: list[Key]) -> Batch:
        """The batch of some (epoch, index) keys: uint8 N x 3 x H x W, contiguous, and int64 N.

        A keyed one ends with the keys, int64 N x 2, as an array, which stays on the CPU.
        """
        images = np.empty((len(keys), 3, *self.size), np.uint8)
        for image, (epoch, index) in zip(images, keys, strict=True):
            image[:] = self._image(epoch, index).transpose(2, 0, 1)
        batch = torch.from_numpy(images), self.labels[[index for _, index in keys]]
        return (*batch, np.array(keys, np.int64)) if self.keyed else batch

    def _image(self, epoch: int, index: int) -> np.ndarray:
        if self.augmentation is None:
            return resize(self.pixels[index], self.size)
        return self.augmentation(self.pixels[index], epoch, index)
