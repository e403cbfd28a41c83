"""Tiles change places exactly: no pixel is lost, made or moved within its tile."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.augmentation.operations.grid_shuffle import GridShuffle
from datamodules.augmentation.recipe import Recipe
from datamodules.errors import DataError


def numbered(height, width):
    """Each pixel is unlike all others."""
    number = np.arange(height * width).reshape(height, width)
    return np.stack([number % 256, number // 256, np.zeros_like(number)], axis=2).astype(np.uint8)


def tiles_of(image, rows, columns):
    return [
        tile.tobytes()
        for band in np.split(image, rows, axis=0)
        for tile in np.split(band, columns, axis=1)
    ]


@pytest.mark.parametrize("tiles", [[2, 2], [3, 4], [1, 6]])
def test_whole_tiles_change_places(backend, tiles):
    image = numbered(12, 24)
    recipe = Recipe(
        image_size=[12, 24], backend=backend, transforms=[GridShuffle(tiles=tiles, p=1)]
    )
    before = tiles_of(image, *tiles)
    results = [recipe(image, 0, index) for index in range(30)]
    assert all(sorted(tiles_of(result, *tiles)) == sorted(before) for result in results)
    assert len({result.tobytes() for result in results}) > 10


@given(
    height=st.integers(4, 40),
    width=st.integers(4, 40),
    rows=st.integers(1, 4),
    columns=st.integers(2, 4),
    seed=st.integers(0, 2**32),
)
def test_sides_that_do_not_divide_evenly(height, width, rows, columns, seed):
    image = numbered(height, width)
    operation = GridShuffle(tiles=[rows, columns], p=1)
    shuffled = operation.shuffle(image, Random(seed))
    number = shuffled[..., 0].astype(int) + 256 * shuffled[..., 1].astype(int)
    assert sorted(number.ravel()) == list(range(height * width))
    # Neighbours stay neighbours, except across the edges of the tiles.
    broken_columns = (np.diff(number, axis=1) != 1).any(axis=0)
    broken_rows = (np.diff(number, axis=0) != width).any(axis=1)
    assert broken_columns.sum() <= columns - 1 and broken_rows.sum() <= rows - 1


def test_uneven_tiles_move_to_all_places_of_their_size():
    image = numbered(7, 7)
    operation = GridShuffle(tiles=[2, 2], p=1)
    corners = {tuple(operation.shuffle(image, Random(seed))[0, 0]) for seed in range(60)}
    assert len(corners) == 1  # 3 x 3, 3 x 4, 4 x 3 and 4 x 4: each is alone
    wide = {operation.shuffle(numbered(8, 7), Random(seed)).tobytes() for seed in range(60)}
    assert len(wide) > 4


@pytest.mark.parametrize("tiles", [[1, 1], [0, 2], [2], "2x2", [2.5, 2]])
def test_impossible_grids(tiles):
    with pytest.raises(DataError, match="GridShuffle.tiles="):
        GridShuffle(tiles=tiles, p=1)
