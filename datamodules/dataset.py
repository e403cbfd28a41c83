"""Batches of one split: keys in, uint8 tensors out."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from datamodules.decoding import Size, resize
from datamodules.pixels import Pixels
from datamodules.sampling import Key, sample_seed

Augmentation = Callable[[np.ndarray, int], np.ndarray]
Batch = tuple[torch.Tensor, torch.Tensor]


class ImageDataset(Dataset[Batch]):
    """One split, read a batch at a time.

    Args:
        pixels: The split's images, each uint8 h x w x 3.
        labels: Their class indices.
        size: Height and width of the batches.
        augmentation: Called with an image and a seed; None only resizes.
        seed: With epoch and index, decides the augmentation.
    """

    def __init__(
        self,
        *,
        pixels: Pixels,
        labels: Sequence[int],
        size: Size,
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ) -> None:
        self.pixels = pixels
        self.labels = torch.tensor(labels, dtype=torch.int64)
        self.size = size
        self.augmentation = augmentation
        self.seed = seed

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, keys: list[Key]) -> Batch:
        """The batch of some (epoch, index) keys: uint8 N x 3 x H x W, contiguous, and int64 N."""
        images = np.empty((len(keys), 3, *self.size), np.uint8)
        for image, (epoch, index) in zip(images, keys, strict=True):
            image[:] = self._image(epoch, index).transpose(2, 0, 1)
        return torch.from_numpy(images), self.labels[[index for _, index in keys]]

    def _image(self, epoch: int, index: int) -> np.ndarray:
        if self.augmentation is None:
            return resize(self.pixels[index], self.size)
        return self.augmentation(self.pixels[index], sample_seed(self.seed, epoch, index))
