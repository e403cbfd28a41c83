"""The images of a split by index: from the cache's file, or decoded at each use."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from datamodules.decoding import ResizeMode, decode_crops
from datamodules.errors import DataError
from datamodules.schema import Size
from datamodules.sources import Item


class Pixels(Protocol):
    """Something that gives image `index` as uint8 H x W x 3."""

    def __getitem__(self, index: int) -> np.ndarray: ...


class StoredPixels:
    """A memory-mapped file of uint8 N x H x W x 3; its pages are shared by all processes."""

    def __init__(self, path: Path, shape: tuple[int, int, int, int]) -> None:
        if path.stat().st_size != np.prod(shape):
            raise DataError(f"The cache {path.parent} is damaged: delete it and start again.")
        self.path = path
        self.shape = shape
        self.images = np.memmap(path, np.uint8, mode="r", shape=shape)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.images[index]

    def __reduce__(self) -> tuple:
        # Pickling a memory map would copy all pixels into each worker that is not forked.
        return StoredPixels, (self.path, self.shape)


class DecodedPixels:
    """Decodes item `index` whenever it is asked for."""

    def __init__(
        self,
        items: Sequence[Item],
        *,
        size: Size,
        resize_mode: ResizeMode,
        levels: int | None = None,
    ) -> None:
        self.items = items
        self.size = size
        self.resize_mode = resize_mode
        self.levels = levels

    def __getitem__(self, index: int) -> np.ndarray:
        item = self.items[index]
        (crop,) = decode_crops(
            item.path,
            [item.box],
            size=self.size,
            resize_mode=self.resize_mode,
            annotated=item.size,
            levels=self.levels,
        )
        return crop


class ChosenPixels:
    """Some images of others, under new indices."""

    def __init__(self, pixels: Pixels, positions: Sequence[int]) -> None:
        self.pixels = pixels
        self.positions = positions

    def __getitem__(self, index: int) -> np.ndarray:
        return self.pixels[self.positions[index]]
