"""The random resized crop: its boxes, its pixels, its fallback."""

from random import Random

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from datamodules.augmentation.operations.random_resized_crop import RandomResizedCrop
from datamodules.augmentation.recipe import Recipe
from tests.conftest import SHARED, needs_shared


@given(
    height=st.integers(5, 200),
    width=st.integers(5, 200),
    low=st.floats(0.05, 1),
    ratio=st.floats(0.3, 1),
    seed=st.integers(0, 2**32),
)
def test_boxes_lie_inside_and_keep_their_promises(height, width, low, ratio, seed):
    crop = RandomResizedCrop(size=(20, 30), scale=[low, 1], ratio=[ratio, 1 / ratio])
    top, left, h, w = crop.box(height, width, Random(seed))
    assert top >= 0 and left >= 0 and h >= 1 and w >= 1
    assert top + h <= height and left + w <= width
    # Relative to the result's aspect ratio 3:2, as far as whole pixels can tell.
    assert (w - 1) / (h + 1) / 1.5 <= 1 / ratio + 0.01 or h == height
    assert (w + 1) / max(h - 1, 0.5) / 1.5 >= ratio - 0.01 or w == width


def test_the_fallback_is_the_middle():
    crop = RandomResizedCrop(size=(20, 20), scale=[1, 1], ratio=[1, 1])
    assert crop.box(40, 100, Random(0)) == (0, 30, 40, 40)
    assert crop.box(100, 40, Random(0)) == (30, 0, 40, 40)
    wide = RandomResizedCrop(size=(20, 40), scale=[1, 1], ratio=[1, 1])
    assert wide.box(50, 100, Random(0)) == (0, 0, 50, 100)


def test_a_wide_network_s_crops_keep_the_proportions(backend):
    wide = np.zeros((100, 200, 3), np.uint8)
    wide[:, :100] = 255
    settings = {"crop_scale": [1, 1], "crop_ratio": [1, 1], "backend": backend}
    result = Recipe(image_size=[50, 100], **settings)(wide, 0, 0)
    assert (result[:, :49] == 255).all() and (result[:, 51:] == 0).all()


@pytest.mark.parametrize(("side", "flag"), [(30, cv2.INTER_LINEAR), (33, cv2.INTER_AREA)])
def test_how_it_is_resized(side, flag):
    image = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    crop = RandomResizedCrop(size=(24, 24), scale=[1, 1], ratio=[1, 1])
    expected = cv2.resize(image, (24, 24), interpolation=flag)
    assert np.array_equal(crop.crop(image, Random(0)), expected)


@needs_shared("data", "trashnet150", "val")
@pytest.mark.parametrize("shrinking", [1.1, 1.2, 1.25, 1.3])
def test_bilinear_is_nearer_to_an_antialiased_resize_where_it_is_used(shrinking):
    """What `AREA_ABOVE` says, on crops of photographs."""
    errors, random = {"ours": [], "area": []}, Random(0)
    for path in sorted((SHARED / "data" / "trashnet150" / "val").rglob("*.jpg"))[::8]:
        photograph = Image.open(path).convert("RGB")
        cached = np.asarray(photograph.resize((100, 100), Image.Resampling.BILINEAR))
        side = round(60 * shrinking)
        left, top = random.randrange(101 - side), random.randrange(101 - side)
        box = tuple(1.5 * edge for edge in (left, top, left + side, top + side))
        truth = np.asarray(photograph.resize((60, 60), Image.Resampling.BILINEAR, box)).astype(int)
        part = cached[top : top + side, left : left + side]
        crop = RandomResizedCrop(size=(60, 60), scale=[1, 1], ratio=[1, 1])
        area = cv2.resize(part, (60, 60), interpolation=cv2.INTER_AREA)
        errors["ours"].append(np.abs(crop.crop(part, random) - truth).mean())
        errors["area"].append(np.abs(area - truth).mean())
    assert np.mean(errors["ours"]) < np.mean(errors["area"])
