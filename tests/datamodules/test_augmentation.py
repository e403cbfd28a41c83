import pickle

import albumentations as A
import numpy as np
import pytest

from datamodules.augmentation import Albumentations
from datamodules.errors import DataError

IMAGE = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)


def _simple(**changes) -> Albumentations:
    transforms = [A.HorizontalFlip(p=0.5), A.ColorJitter(p=0.8)]
    settings = {"image_size": 80, "crop_scale": [0.5, 1.0], "transforms": transforms}
    return Albumentations(**{**settings, **changes})


def test_pure_function_of_image_and_seed():
    augmentation, copy = _simple(), pickle.loads(pickle.dumps(_simple()))
    before = IMAGE.copy()
    first = [augmentation(IMAGE, seed) for seed in range(5)]
    for seed in (3, 1, 4, 0, 2):
        assert np.array_equal(augmentation(IMAGE, seed), first[seed])
        assert np.array_equal(copy(IMAGE, seed), first[seed])
    assert len({pixels.tobytes() for pixels in first}) == 5
    assert np.array_equal(IMAGE, before)


@pytest.mark.parametrize(("image_size", "shape"), [(32, (32, 32, 3)), ([24, 48], (24, 48, 3))])
@pytest.mark.parametrize("crop_scale", [None, [0.3, 0.9]])
def test_result_has_the_networks_size(image_size, shape, crop_scale):
    pixels = _simple(image_size=image_size, crop_scale=crop_scale)(IMAGE, 0)
    assert pixels.shape == shape and pixels.dtype == np.uint8


def test_nothing_asked_changes_nothing():
    augmentation = Albumentations(image_size=100)
    assert np.array_equal(augmentation(IMAGE, 7), IMAGE)
    assert not augmentation.crops and _simple().crops


def test_transforms_decide_independently():
    flips = [A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)]
    augmentation = Albumentations(image_size=100, transforms=flips)
    versions = [IMAGE, IMAGE[:, ::-1], IMAGE[::-1], IMAGE[::-1, ::-1]]
    names = {version.tobytes(): n for n, version in enumerate(versions)}
    counts = np.bincount([names[augmentation(IMAGE, s).tobytes()] for s in range(400)])
    assert counts.min() > 60


def test_wide_crops_of_a_wide_network_keep_the_proportions():
    wide = np.zeros((100, 200, 3), np.uint8)
    wide[:, :100] = 255
    augmentation = Albumentations(image_size=[50, 100], crop_scale=[1, 1], crop_ratio=[1, 1])
    assert (augmentation(wide, 0)[:, :49] == 255).all()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "changes",
    [{"crop_scale": [2, 3]}, {"crop_scale": [0.9, 0.1]}, {"transforms": "typo"}],
)
def test_wrong_settings_are_one_sentence(changes):
    if changes.get("transforms") == "typo":
        changes = {"transforms": [A.HorizontalFlip(probability=0.5)]}
    with pytest.raises(DataError, match="The augmentation cannot be built"):
        _simple(**changes)
