"""Pictures of a folder: the pixels of the cache, in order; unreadable ones are named; new ones."""

import os
from itertools import islice

import numpy as np
import pytest
from PIL import Image

from datamodules.cache import open_cache
from datamodules.errors import DataError
from datamodules.sources import Item
from lightning_modules.deployment.reading import list_images, new_images, read_batches


@pytest.fixture
def pictures(tmp_path):
    """Seven pictures of several shapes, one broken, one hidden, one that is none."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir(parents=True)
    for number, shape in enumerate([(40, 30), (300, 400), (16, 16), (90, 20), (33, 77), (8, 8)]):
        pixels = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg")
    Image.fromarray(pixels).save(folder / "deep" / "a.png")
    (folder / "2b.jpg").write_bytes(b"no image")
    (folder / ".hidden.jpg").write_bytes(b"no image")
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.mark.parametrize("mode", ["stretch", "pad", "crop"])
def test_the_pixels_are_those_of_the_cache(mode, pictures, tmp_path):
    paths = list_images(pictures)
    items = [Item(path, 0, None, path) for path in paths]
    cached = open_cache(
        items, name="val", size=(24, 32), resize_mode=mode, cache_dir=tmp_path / "cache"
    )
    batches = list(read_batches(paths, size=(24, 32), resize_mode=mode, batch_size=3))
    images = np.concatenate([batch.images for batch in batches])
    expected = np.stack([cached.pixels[n].transpose(2, 0, 1) for n in range(len(cached.items))])
    np.testing.assert_array_equal(images, expected)
    assert [p for batch in batches for p in batch.paths] == [item.path for item in cached.items]
    assert [len(batch.paths) for batch in batches] == [3, 2, 2]
    bad = {path: why for batch in batches for path, why in batch.unreadable.items()}
    assert bad == cached.bad and list(bad) == [str(pictures / "2b.jpg")]


def test_few_images_are_decoded_in_advance(pictures):
    asked = []

    def paths():
        for number in range(1000):
            asked.append(number)
            yield str(pictures / "5.jpg")

    batches = read_batches(paths(), size=(8, 8), resize_mode="stretch", batch_size=4)
    next(batches)
    batches.close()
    assert len(asked) < 200


def test_no_folder_and_no_images(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        list_images(tmp_path / "absent")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(DataError, match=r"has no images \(\.bmp"):
        list_images(tmp_path)


def test_whole_files_once(tmp_path):
    (tmp_path / "old.png").write_bytes(b"1")
    looks = []
    steps = [
        lambda: (tmp_path / "b.jpg").write_bytes(b"half"),
        lambda: (tmp_path / "b.jpg").write_bytes(b"half, whole"),
        lambda: None,
        lambda: (tmp_path / "a.txt").write_bytes(b"no image"),
        lambda: (tmp_path / "b.jpg").unlink(),
        lambda: (tmp_path / "deep").mkdir(),
        lambda: (tmp_path / "deep" / "b.png").write_bytes(b"new"),
        lambda: None,
        lambda: os.utime(tmp_path / "old.png", (1, 1)),
        lambda: None,
    ]

    def wait(seconds):
        looks.append(seconds)
        steps[len(looks) - 1]()

    found = list(islice(new_images(tmp_path, interval=0.5, wait=wait), 11))
    names = [[os.path.relpath(path, tmp_path) for path in some] for some in found]
    assert names == [
        [], ["old.png"], [], ["b.jpg"], [], [], [], [], ["deep/b.png"], [], ["old.png"],
    ]  # fmt: skip
    assert set(looks) == {0.5}


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        next(new_images(tmp_path / "absent"))
