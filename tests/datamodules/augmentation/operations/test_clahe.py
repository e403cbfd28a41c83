"""CLAHE against OpenCV's, and against the algorithm written out."""

from random import Random

import albumentations as A
import cv2
import numpy as np
import pytest

from datamodules.augmentation.operations.clahe import Clahe

RNG = np.random.default_rng(0)
IMAGE = (RNG.integers(0, 90, (48, 60, 3)) + np.arange(60)[:, None]).astype(np.uint8)


def written_out(lightness, limit, rows, columns):
    """Zuiderveld's algorithm with OpenCV's conventions, for sides that divide evenly."""
    height, width = lightness.shape[0] // rows, lightness.shape[1] // columns
    size = height * width
    clip = max(int(limit * size / 256), 1)
    tables = np.empty((rows, columns, 256))
    for row in range(rows):
        for column in range(columns):
            tile = lightness[row * height :, column * width :][:height, :width]
            counts = np.bincount(tile.ravel(), minlength=256)
            excess = np.maximum(counts - clip, 0).sum()
            counts = np.minimum(counts, clip) + excess // 256
            rest = excess % 256
            if rest:
                step = max(256 // rest, 1)
                counts[np.arange(256)[::step][:rest]] += 1
            tables[row, column] = np.rint(counts.cumsum() * 255 / size).clip(0, 255)
    result = np.empty_like(lightness)
    for y, x in np.ndindex(lightness.shape):
        # Between the tiles' middles the four nearest tables are interpolated.
        v, u = y / height - 0.5, x / width - 0.5
        top, left = int(np.floor(v)), int(np.floor(u))
        down, right = v - top, u - left
        total = 0.0
        for row, down_share in ((top, 1 - down), (top + 1, down)):
            for column, right_share in ((left, 1 - right), (left + 1, right)):
                table = tables[np.clip(row, 0, rows - 1), np.clip(column, 0, columns - 1)]
                total += down_share * right_share * table[lightness[y, x]]
        result[y, x] = np.rint(total)
    return result


@pytest.mark.parametrize("limit", [1.0, 2.5, 40.0])
def test_the_algorithm(limit):
    found = Clahe(clip_limit=[limit, limit], tiles=[4, 3], p=1).equalize(IMAGE, Random(0))
    lab = cv2.cvtColor(IMAGE, cv2.COLOR_RGB2LAB)
    lab[..., 0] = written_out(lab[..., 0], limit, 4, 3)
    expected = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).astype(int)
    assert np.abs(found - expected).max() <= 3  # one step of L
    assert (np.abs(found - expected).max(axis=2) == 0).mean() > 0.95


@pytest.mark.parametrize("tiles", [[2, 2], [4, 3], [8, 8]])
def test_opencv_s_and_albumentations(tiles):
    operation = Clahe(clip_limit=[3, 3], tiles=tiles, p=1)
    found = operation.equalize(IMAGE, Random(0))
    lab = cv2.cvtColor(IMAGE, cv2.COLOR_RGB2LAB)
    clahe = cv2.createCLAHE(clipLimit=3.0, tileGridSize=(tiles[1], tiles[0]))
    lab[..., 0] = clahe.apply(np.ascontiguousarray(lab[..., 0]))
    assert np.array_equal(found, cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))
    assert np.array_equal(found, operation.for_albumentations(A)(image=IMAGE)["image"])


def test_the_limit_is_drawn(image):
    operation = Clahe(clip_limit=[1, 8], tiles=[2, 2], p=1)
    assert len({operation.equalize(IMAGE, Random(seed)).tobytes() for seed in range(9)}) > 3
    before = image.copy()
    image.flags.writeable = False
    operation.equalize(image, Random(0))
    assert np.array_equal(image, before)
