"""RandAugment: the paper's operations and strengths, against torchvision's functions."""

import math
from random import Random

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional

from datamodules.augmentation.operations import rand_augment
from datamodules.augmentation.operations.rand_augment import CHANGES, RandAugment
from datamodules.augmentation.recipe import Recipe
from datamodules.errors import DataError

# Smooth, so that half a pixel of another convention is a small difference.
NOISE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
PICTURE = Image.fromarray(NOISE).filter(ImageFilter.GaussianBlur(3))
PICTURE = PICTURE.point(lambda value: (value - 100) * 5)
TENSOR = torch.from_numpy(np.array(PICTURE)).permute(2, 0, 1)
BY_NAME = {change.__name__: change for change in CHANGES}
PLACE = {"interpolation": InterpolationMode.BILINEAR, "fill": [128.0] * 3}


def affine(*, translate=(0, 0), shear=(0.0, 0.0), center=None):
    return functional.affine(
        TENSOR, angle=0.0, translate=list(translate), scale=1.0, shear=list(shear), center=center,
        **PLACE,
    )  # fmt: skip


def slope(amount):
    return math.degrees(math.atan(amount))


# The paper's table (of Cubuk et al. 2019) in torchvision's functions; s is the strength in 0..1.
EXPECTED = {
    "identity": lambda s: TENSOR,
    "auto_contrast": lambda s: functional.autocontrast(TENSOR),
    "equalize": lambda s: functional.equalize(TENSOR),
    "rotate": lambda s: functional.rotate(TENSOR, 30 * s, **PLACE),
    "solarize": lambda s: functional.solarize(TENSOR, 255 * (1 - abs(s))),
    "color": lambda s: functional.adjust_saturation(TENSOR, 1 + 0.9 * s),
    "posterize": lambda s: functional.posterize(TENSOR, round(8 - 4 * abs(s))),
    "contrast": lambda s: functional.adjust_contrast(TENSOR, 1 + 0.9 * s),
    "brightness": lambda s: functional.adjust_brightness(TENSOR, 1 + 0.9 * s),
    "sharpness": lambda s: functional.adjust_sharpness(TENSOR, 1 + 0.9 * s),
    "shear_x": lambda s: affine(shear=(slope(0.3 * s), 0.0), center=[0, 0]),
    "shear_y": lambda s: affine(shear=(0.0, slope(0.3 * s)), center=[0, 0]),
    "translate_x": lambda s: affine(translate=(-int(s * 80 * 150 / 331), 0)),
    "translate_y": lambda s: affine(translate=(0, -int(s * 60 * 150 / 331))),
}
EXACT = {"identity", "equalize", "posterize", "solarize", "translate_x", "translate_y"}


def test_the_set_of_operations():
    assert set(BY_NAME) == set(EXPECTED) and len(CHANGES) == 14
    their_names = {name.lower() for name in v2.RandAugment._AUGMENTATION_SPACE}
    assert their_names == {name.replace("_", "") for name in BY_NAME}


@pytest.mark.parametrize("strength", [-1.0, -0.3, 0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("name", EXPECTED)
def test_each_operation_at_each_strength(name, strength):
    found = np.asarray(BY_NAME[name](PICTURE, strength)).astype(int)
    expected = EXPECTED[name](strength).permute(1, 2, 0).numpy().astype(int)
    difference = np.abs(found - expected)
    if name in EXACT:
        assert difference.max() == 0
    else:
        assert difference.mean() < 2 and np.quantile(difference, 0.9) <= 6, difference.mean()


@pytest.mark.parametrize("name", sorted(set(EXPECTED) - {"identity", "auto_contrast", "equalize"}))
def test_changes_grow_with_the_strength(name):
    ramp = np.add.outer(np.arange(60), np.arange(80)) // 2 + 70 + NOISE[..., 0] // 8
    picture = Image.fromarray(np.stack([ramp, ramp + 40, ramp // 2], axis=2).astype(np.uint8))
    changed = [
        np.abs(np.asarray(BY_NAME[name](picture, s)).astype(int) - np.asarray(picture)).mean()
        for s in (0.0, 0.2, 0.6, 1.0)
    ]
    assert changed[0] == 0 and np.all(np.diff(changed[1:]) > 0), changed


def recorded(monkeypatch, operation, images=700):
    """The (number, strength) pairs that one operation draws for each image."""
    calls = []
    spies = [
        lambda picture, strength, number=number: calls[-1].append((number, strength)) or picture
        for number in range(len(CHANGES))
    ]
    monkeypatch.setattr(rand_augment, "CHANGES", tuple(spies))
    random = Random(0)
    for _ in range(images):
        calls.append([])
        operation.augment(NOISE, random)
    return calls


def test_n_of_them_each_as_likely_in_both_directions(monkeypatch):
    calls = recorded(monkeypatch, RandAugment(n=3, level=9))
    assert {len(drawn) for drawn in calls} == {3}
    numbers = [number for drawn in calls for number, _ in drawn]
    counts = np.bincount(numbers, minlength=14)
    assert counts.min() > 110 and counts.max() < 190  # 150 expected
    strengths = [strength for drawn in calls for _, strength in drawn]
    assert set(strengths) == {-0.3, 0.3}
    assert abs(np.mean(strengths)) < 0.02


@pytest.mark.parametrize(
    ("level", "max_level", "strength"), [(0, 30, 0), (30, 30, 1), (9, 10, 0.9), (10, 10, 1)]
)
def test_levels(monkeypatch, level, max_level, strength):
    calls = recorded(monkeypatch, RandAugment(n=1, level=level, max_level=max_level), images=20)
    assert {abs(drawn[0][1]) for drawn in calls} == {strength}


def test_torchvision_gets_the_same_numbers():
    (augment,) = RandAugment(n=3, level=7, max_level=10).for_torchvision(v2).transforms
    assert (augment.num_ops, augment.magnitude, augment.num_magnitude_bins) == (3, 7, 11)
    for name, (magnitudes, signed) in v2.RandAugment._AUGMENTATION_SPACE.items():
        values = magnitudes(11, 60, 80)
        if values is not None and signed:
            expected = {"ShearX": 0.21, "ShearY": 0.21, "Rotate": 21.0}.get(name, 0.63)
            expected = {"TranslateX": 80 * 105 / 331, "TranslateY": 60 * 105 / 331}.get(
                name, expected
            )
            assert float(values[7]) == pytest.approx(expected)


def test_nothing_is_drawn_for_n_0(backend):
    recipe = Recipe(image_size=[60, 80], backend=backend, transforms=[RandAugment(n=0, level=9)])
    assert np.array_equal(recipe(NOISE, 0, 0), NOISE)


@pytest.mark.parametrize(
    "changes", [{"level": 31}, {"level": 2.5}, {"level": -1}, {"n": -1}, {"max_level": 8}]
)
def test_impossible_numbers(changes):
    with pytest.raises(DataError, match="is not allowed; give a whole number"):
        RandAugment(**{"n": 2, "level": 9, **changes})
