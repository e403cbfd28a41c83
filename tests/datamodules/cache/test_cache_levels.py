"""Bits in use: found from all images of a cache, or given; and what is odd about files."""

import json

import numpy as np
import pytest
from PIL import Image

from datamodules.cache.cache import open_cache
from datamodules.decoding.notices import CLIPPED, METADATA, NO_END
from datamodules.sources.source import Item
from datamodules.workers import processes


def _item(path) -> Item:
    return Item(str(path), 0, None, path.name)


@pytest.fixture
def deep(tmp_path):
    """Writes a flat image of 16 bits in a sample and gives its item."""

    def make(level: int, name: str, *, dtype=np.uint16) -> Item:
        Image.fromarray(np.full((4, 4), level, dtype)).save(tmp_path / name)
        return _item(tmp_path / name)

    return make


def _open(items, tmp_path, levels=None, **changes):
    return open_cache(
        items,
        name="train",
        size=(4, 4),
        resize_mode="stretch",
        cache_dir=tmp_path / "cache",
        levels=levels,
        **changes,
    )


def _levels(split) -> list[int]:
    return [int(split.pixels[n].max()) for n in range(len(split.items))]


@pytest.mark.parametrize("keep_pixels", [True, False])
def test_one_rule_for_all_images(deep, tmp_path, keep_pixels):
    Image.new("RGB", (4, 4), (7, 7, 7)).save(tmp_path / "plain.png")
    items = [deep(100, "a.png"), _item(tmp_path / "plain.png"), deep(3200, "b.png")]
    split = _open(items, tmp_path, "found", keep_pixels=keep_pixels)
    assert (split.levels, split.deep) == (12, 2)
    assert _levels(split) == [100 >> 4, 7, 200]


def test_boxes_of_a_deep_file_are_written_again(deep, tmp_path):
    first, last = deep(1000, "a.png"), deep(600, "b.png")
    items = [first._replace(box=(0, 0, n, n)) for n in (1, 2, 3)] + [last]
    split = _open(items, tmp_path, "found")
    assert split.levels == 10
    assert [tuple(split.pixels[n][0, 0]) for n in range(4)] == [(250,) * 3] * 3 + [(150,) * 3]


def test_in_processes_as_in_threads(deep, tmp_path, monkeypatch):
    items = [deep(16 * n, f"{n}.png") for n in range(12)]
    items[5:5] = [deep(-1, "bad.tif", dtype=np.int32)]
    found = _open(items, tmp_path, "found")
    monkeypatch.setattr(processes, "MIN_JOBS", 1)
    again = _open(items, tmp_path / "other", "found")
    assert _levels(again) == _levels(found) == [16 * n for n in range(12)]
    assert again.levels == found.levels == 8 and len(again.bad) == 1


def test_images_of_8_bits_have_no_rule(tmp_path):
    Image.new("RGB", (4, 4), (7, 7, 7)).save(tmp_path / "plain.png")
    items = [_item(tmp_path / "plain.png")]
    split = _open(items, tmp_path, "found")
    assert (split.levels, split.deep, split.notices) == (None, 0, {})
    # What was made in training serves whoever knows what was found in training.
    assert _open(items, tmp_path).key == split.key


def test_what_was_found_is_used_and_nothing_else(deep, tmp_path):
    items = [deep(1000, "a.png"), deep(800, "b.png")]
    found = _open(items, tmp_path, "found")
    assert _open(items, tmp_path, 10).key == found.key
    other = _open(items, tmp_path, 12)
    assert other.key != found.key and _levels(other) == [62, 50]
    assert _levels(_open(items, tmp_path)) == [3, 3]  # as earlier versions: 16 bits


def test_levels_above_white_are_counted(deep, tmp_path):
    items = [deep(1000, "a.png"), deep(1024, "b.png"), deep(9000, "c.png")]
    split = _open(items, tmp_path, 10)
    assert _levels(split) == [250, 255, 255]
    assert split.notices == {CLIPPED: [items[1].path, items[2].path]}


def test_notices_are_kept_with_the_cache(tmp_path):
    Image.new("RGB", (16, 16), "red").save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[:-2])
    Image.new("RGB", (4, 4), "red").save(tmp_path / "b.png")
    png = bytearray((tmp_path / "b.png").read_bytes())
    png[33:33] = b"\0\0\0\1tEXtx\0\0\0\0"  # a chunk whose checksum is wrong
    (tmp_path / "b.png").write_bytes(png)
    items = [_item(tmp_path / name) for name in ("a.jpg", "b.png")]
    expected = {NO_END: [items[0].path], METADATA: [items[1].path]}
    for _ in range(2):
        split = _open(items, tmp_path, "found")
        assert split.notices == expected and len(split.items) == 2
    stored = json.loads(next((tmp_path / "cache").glob("*/images.json")).read_text())
    assert stored["notices"] == expected
