import logging

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from datamodules.audit import leakage
from datamodules.audit.leakage import Leak, find_leaks, warn_of_leakage
from datamodules.audit.similarity import perceptual_hash, thumbnail, thumbnail_hashes
from datamodules.cache.cache import open_cache
from datamodules.splits.grouping import named_copies
from tests.datamodules.audit.conftest import scene

SIZES = {"train": (80, 80)}  # larger than the others, as for random crops


@pytest.fixture
def open_splits(make_index, tmp_path):
    def opened(files, *, chosen=lambda splits: splits):
        splits = chosen(make_index(files).splits)
        return {
            name: open_cache(
                items,
                name=name,
                size=SIZES.get(name, (64, 64)),
                resize_mode="stretch",
                cache_dir=tmp_path / "cache",
            )
            for name, items in splits.items()
        }

    return opened


def _scenes(split, numbers, change=lambda image: image):
    return {f"{split}/a/{n:03d}.png": change(scene(n)) for n in numbers}


def test_none_among_different_pictures(open_splits):
    files = {**_scenes("train", range(100)), **_scenes("val", range(100, 140))}
    assert find_leaks(open_splits(files)) == []


def test_copies_are_counted(open_splits, tmp_path):
    brighter = _scenes("test", [3, 70], lambda image: ImageEnhance.Brightness(image).enhance(1.1))
    smaller = _scenes("test", range(90, 93), lambda image: image.resize((90, 90)))
    files = {
        **_scenes("train", range(40)), **_scenes("val", [*range(5), *range(50, 60)]),
        **brighter, **smaller, **_scenes("test", range(50, 52)),
    }  # fmt: skip
    leaks = find_leaks(open_splits(files))
    root = tmp_path / "photos"

    def leak(earlier, later, count, total, number):
        names = [str(root / split / "a" / f"{number:03d}.png") for split in (earlier, later)]
        return Leak(earlier, later, count, total, tuple(names), groups=count, by_group=0)

    assert leaks == [
        leak("train", "val", 5, 15, 0),
        leak("train", "test", 1, 7, 3),
        leak("val", "test", 3, 7, 3),
    ]


def test_flat_pictures_raise_no_alarm(open_splits):
    rng = np.random.default_rng(0)

    def flat(split, count, colour):
        noise = rng.normal(0, 1.5, (count, 64, 64, 3)) + colour
        return {
            f"{split}/a/flat{n}.png": Image.fromarray(x.astype(np.uint8))
            for n, x in enumerate(noise)
        }

    files = {**flat("train", 30, (200, 90, 90)), **flat("val", 20, (90, 90, 200))}
    assert find_leaks(open_splits(files)) == []


def test_many_copies_of_one_picture(open_splits):
    files = {f"{split}/a/{n}.png": scene(0) for split in ("train", "val") for n in range(30)}
    ((_, _, count, _, first, groups, _),) = find_leaks(open_splits(files))
    assert count == 30 and groups == 1
    assert [name.rsplit("/", 1)[1] for name in first] == ["0.png", "0.png"]


def test_splits_that_share_images_are_not_compared(open_splits):
    files = {**_scenes("train", range(5)), **_scenes("val", range(5)), **_scenes("test", [0])}

    def train_on_all(splits):
        return {**splits, "train": [*splits["train"], *splits["val"]]}

    leaks = find_leaks(open_splits(files, chosen=train_on_all))
    assert [(leak.earlier, leak.later, leak.images) for leak in leaks] == [
        ("train", "test", 1),
        ("val", "test", 1),
    ]


def test_versions_on_two_sides_are_counted_by_their_originals(open_splits, tmp_path, caplog):
    def turned(split, numbers, versions):
        return {
            f"{split}/a/{n:03d}_jpg.rf.{v}00000.png": scene(n).rotate(90 * v)
            for n in numbers
            for v in versions
        }

    files = {
        **turned("train", range(6), [0, 1]), **turned("val", range(4, 8), [2, 3]),
        **_scenes("train", [50]), **_scenes("val", [50, 60]),
    }  # fmt: skip
    splits = open_splits(files)
    related = named_copies(item.group for split in splits.values() for item in split.items)
    ((_, _, images, total, first, groups, by_group),) = find_leaks(splits, related)
    assert (images, total, groups, by_group) == (5, 10, 3, 4)
    assert [name.rsplit("/", 1)[1] for name in first] == [
        "004_jpg.rf.000000.png",
        "004_jpg.rf.200000.png",
    ]
    warn_of_leakage(splits, related=related, cache_dir=tmp_path / "cache", audit="AUDIT")
    assert (
        "5 of 10 val images, copies of 3, are versions of train images, or all but equal to them "
        "(the first: " in caplog.text
    )


def test_small_pictures_that_only_resemble_each_other(open_splits):
    rng = np.random.default_rng(0)
    shirt = np.zeros((28, 28))
    shirt[4:24, 8:20] = 180

    def shirts(split, count):
        noise = rng.normal(0, 25, (count, 28, 28))
        return {
            f"{split}/a/{n}.png": Image.fromarray((shirt + x).clip(0, 255).astype(np.uint8))
            for n, x in enumerate(noise)
        }

    files = {**shirts("train", 20), **shirts("val", 20)}
    assert find_leaks(open_splits(files)) == []
    files["val/a/copy.png"] = files["train/a/3.png"]
    ((_, _, images, *_),) = find_leaks(open_splits(files))
    assert images == 1


def test_one_sentence_and_compared_once(open_splits, tmp_path, caplog, monkeypatch):
    splits = open_splits({**_scenes("train", range(9)), **_scenes("val", [7, 8, 20])})
    settings = {
        "related": {},
        "cache_dir": tmp_path / "cache",
        "audit": "python scripts/audit_data.py data=x",
    }
    with caplog.at_level(logging.WARNING):
        warn_of_leakage(splits, **settings)
    first = " and ".join(str(tmp_path / "photos" / split / "a" / "007.png") for split in splits)
    said = (
        f"2 of 3 val images are all but equal to train images (the first: {first}), which "
        "flatters the metrics; see all with: python scripts/audit_data.py data=x"
    )
    assert [record.getMessage() for record in caplog.records] == [said]
    monkeypatch.setattr(leakage, "find_leaks", lambda splits: pytest.fail("compared again"))
    warn_of_leakage(splits, **settings)
    assert [record.getMessage() for record in caplog.records] == [said] * 2


def test_changed_images_are_compared_anew(open_splits, tmp_path, caplog):
    files = {**_scenes("train", range(9)), **_scenes("val", [20])}
    warn_of_leakage(open_splits(files), related={}, cache_dir=tmp_path / "cache", audit="")
    assert not caplog.records
    files["val/a/020.png"] = scene(4)
    warn_of_leakage(open_splits(files), related={}, cache_dir=tmp_path / "cache", audit="")
    assert "1 of 1 val images is all but equal" in caplog.text


def test_the_coarse_hash_follows_the_perceptual_one():
    images = [scene(n) for n in range(40)]
    coarse = thumbnail_hashes(np.stack([thumbnail(image) for image in images]))
    exact = np.array([perceptual_hash(image) for image in images], np.uint64)
    # Both are the signs of the same frequencies, so they differ in the few near the median.
    own = np.bitwise_count(coarse ^ exact)
    other = np.bitwise_count(coarse ^ np.roll(exact, 1))
    assert own.mean() < 4 and own.max() <= 10 and other.min() > 14
