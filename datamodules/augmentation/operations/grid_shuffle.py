"""Tiles of the image in a random order."""

from itertools import groupby, pairwise, product
from random import Random
from types import ModuleType
from typing import Any

import numpy as np

from datamodules.augmentation.operation import ArrayTransform, Operation
from datamodules.errors import DataError
from datamodules.schema import Grid, declared


@declared
class GridShuffle(Operation):
    """Cuts the image into a grid and lets tiles of the same size change places.

    Where the sides do not divide evenly, some rows and columns (drawn too) are a pixel larger.

    Attributes:
        tiles: rows and columns of the grid.
    """

    tiles: Grid

    def __post_init__(self) -> None:
        if self.tiles == (1, 1):
            raise DataError("GridShuffle.tiles=[1, 1] is one tile: give two or more.")

    def for_albumentations(self, A: ModuleType) -> Any:
        """`RandomGridShuffle`."""
        return A.RandomGridShuffle(grid=self.tiles, p=self.p)

    def for_torchvision(self, v2: ModuleType) -> ArrayTransform:
        """`shuffle`: torchvision has no such transform."""
        return self.shuffle

    def shuffle(self, image: np.ndarray, random: Random) -> np.ndarray:
        """Uint8 H x W x 3 to the same."""
        rows = _spans(image.shape[0], self.tiles[0], random)
        columns = _spans(image.shape[1], self.tiles[1], random)
        places = sorted(product(rows, columns), key=_size)
        shuffled = np.empty_like(image)
        for _, alike in groupby(places, key=_size):
            targets = list(alike)
            for source, target in zip(random.sample(targets, len(targets)), targets, strict=True):
                shuffled[target] = image[source]
        return shuffled


def _spans(length: int, count: int, random: Random) -> list[slice]:
    """`length` pixels in `count` parts whose lengths differ by one at most, in random order."""
    lengths = [(length + part) // count for part in range(count)]
    random.shuffle(lengths)
    ends = [sum(lengths[:part]) for part in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(ends)]


def _size(place: tuple[slice, slice]) -> tuple[int, ...]:
    return tuple(span.stop - span.start for span in place)
