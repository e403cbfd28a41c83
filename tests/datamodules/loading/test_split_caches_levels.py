"""One rule for a data set: found from its training images, used for all others."""

import logging

import numpy as np
import pytest
from PIL import Image

from datamodules.augmentation.recipe import Recipe
from datamodules.loading.image_data import ImageData
from datamodules.sources.image_folder import ImageFolder

LEVELS = {"train": (100, 3200), "val": (1600, 4000), "test": (5000, 800)}  # of dark and light


@pytest.fixture
def make_data(tmp_path):
    """A data set of 12 bits in 16; in `test` is an image of more."""
    for split, levels in LEVELS.items():
        for name, level in zip(("dark", "light"), levels, strict=True):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for number in range(3):
                pixels = np.full((6, 6), level - number, np.uint16)
                Image.fromarray(pixels).save(folder / f"{number}.png")

    def make(**changes) -> ImageData:
        settings = {
            "source": ImageFolder(root=str(tmp_path / "images")),
            "augmentation": Recipe(image_size=[4, 4]),
            "image_size": [4, 4],
            "num_workers": 0,
            "cache_dir": str(tmp_path / "cache"),
        }
        data = ImageData(**{**settings, **changes})
        data.prepare_data()
        data.setup()
        return data

    return make


def _first(data: ImageData, split: str) -> list[int]:
    """The level of each class's first image."""
    return [int(data.pixels(split)[n].max()) for n in (0, 3)]


@pytest.mark.parametrize("cache", [True, False])
def test_training_images_decide(make_data, caplog, cache):
    with caplog.at_level(logging.INFO):
        data = make_data(cache=cache)
    assert data.levels == 12
    found = {split: _first(data, split) for split in LEVELS}
    assert found == {"train": [6, 200], "val": [100, 250], "test": [255, 50]}
    assert [m for m in caplog.messages if m.startswith("levels")] == [
        "levels: 18 image files have more than 8 bits in a sample; they are read as 12 bits, found "
        "from the training images: 0..4095 becomes 0..255"
    ]
    root = data.source.root
    assert [m for m in caplog.messages if "white" in m] == [
        "3 images were read with levels above the white of the training images, which became white "
        f"(the first: {root}/test/dark/0.png, {root}/test/dark/1.png, {root}/test/dark/2.png)."
    ]


def test_a_trained_network_decides(make_data, tmp_path):
    data = make_data(levels=14, cache_dir=str(tmp_path / "other"))
    assert data.levels == 14 and _first(data, "val") == [25, 62]
    data = make_data(levels=None)  # of an earlier version: the upper 8 of 16 bits
    assert data.levels is None and _first(data, "val") == [6, 15]
