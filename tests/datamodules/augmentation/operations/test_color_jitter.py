"""The four changes of colour against torchvision's, which are computed in another way."""

import colorsys
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional

from datamodules.augmentation.operations import color_jitter
from datamodules.augmentation.operations.color_jitter import (
    ColorJitter,
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
)

IMAGE = np.random.default_rng(0).integers(0, 256, (31, 45, 3), dtype=np.uint8)


def theirs(name, image, amount):
    tensor = torch.from_numpy(image.copy()).permute(2, 0, 1)
    return getattr(functional, name)(tensor, amount).permute(1, 2, 0).numpy().astype(int)


@settings(deadline=None, max_examples=40)
@given(factor=st.floats(0, 3), values=st.integers(0, 2**31))
@pytest.mark.parametrize(
    ("adjust", "name"),
    [
        (adjust_brightness, "adjust_brightness"),
        (adjust_contrast, "adjust_contrast"),
        (adjust_saturation, "adjust_saturation"),
    ],
)
def test_factors(adjust, name, factor, values):
    low, high = sorted(np.random.default_rng(values).integers(0, 257, 2))
    image = np.random.default_rng(values).integers(low, high + 1, (9, 7, 3)).clip(0, 255)
    image = image.astype(np.uint8)
    # They cut fractions off, and round the mean and the grey image first.
    assert np.abs(adjust(image, factor) - theirs(name, image, factor)).max() <= 2 + factor


@pytest.mark.parametrize("shift", [-0.5, -0.21, -0.02, -0.01, 0.01, 0.02, 0.3, 0.5])
def test_hue(shift):
    values = torch.from_numpy(IMAGE / 255).permute(2, 0, 1)
    expected = 255 * functional.adjust_hue(values, shift).permute(1, 2, 0).numpy()
    difference = np.abs(adjust_hue(IMAGE, shift) - expected)
    # A 256th of the circle is up to 6 levels of one channel: hue before and after, and the shift
    # itself, are rounded to that.
    assert difference.max() <= 12 and difference.mean() < 1.1


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (200, 30, 90), (128, 128, 128)])
def test_hue_of_one_colour(colour):
    hue, *rest = colorsys.rgb_to_hsv(*(value / 255 for value in colour))
    expected = [255 * value for value in colorsys.hsv_to_rgb((hue + 0.25) % 1, *rest)]
    found = adjust_hue(np.full((2, 2, 3), colour, np.uint8), 0.25)
    assert np.abs(found - np.array(expected)).max() <= 4


def test_neutral_amounts_change_nothing():
    for adjust in (adjust_brightness, adjust_contrast, adjust_saturation):
        assert np.array_equal(adjust(IMAGE, 1.0), IMAGE)
    assert adjust_hue(IMAGE, 0.001) is IMAGE


def test_extremes():
    assert not adjust_brightness(IMAGE, 0).any()
    grey = adjust_saturation(IMAGE, 0)
    assert np.ptp(grey, axis=2).max() == 0
    assert np.unique(adjust_contrast(IMAGE, 0)).size == 1
    mean = (IMAGE @ [0.299, 0.587, 0.114]).mean()
    assert abs(adjust_contrast(IMAGE, 0)[0, 0, 0] - mean) <= 0.5


def test_all_orders_occur_and_amounts_lie_in_their_ranges(monkeypatch):
    seen = []
    names = ("adjust_brightness", "adjust_contrast", "adjust_saturation", "adjust_hue")
    for name in names:
        monkeypatch.setattr(
            color_jitter,
            name,
            lambda image, amount, name=name: seen.append((name, amount)) or image,
        )
    ranges = {"brightness": [0.8, 1.2], "contrast": [0.7, 1.3], "saturation": [0, 2]}
    jitter, random = ColorJitter(**ranges, hue=[-0.1, 0.2], p=1), Random(0)
    for _ in range(600):
        jitter.jitter(IMAGE, random)
    orders = {tuple(name for name, _ in seen[start : start + 4]) for start in range(0, 2400, 4)}
    assert len(orders) == 24
    for name, (low, high) in {**ranges, "hue": [-0.1, 0.2]}.items():
        amounts = [amount for which, amount in seen if which == f"adjust_{name}"]
        assert low <= min(amounts) < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < max(amounts) <= high


def test_the_image_itself_stays():
    image = IMAGE.copy()
    image.flags.writeable = False
    jitter = ColorJitter(
        brightness=[0.5, 1.5], contrast=[0.5, 1.5], saturation=[0, 2], hue=[-0.5, 0.5], p=1
    )
    for seed in range(20):
        jitter.jitter(image, Random(seed))
    assert np.array_equal(image, IMAGE)
