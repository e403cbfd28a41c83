import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from datamodules.audit import duplicates
from datamodules.audit.duplicates import KINDS, counterpart, duplicate_type, find_duplicates
from datamodules.audit.reading import read_pictures
from datamodules.audit.similarity import DISTANCE
from datamodules.sources.source import Item
from tests.datamodules.audit.conftest import scene

BYTES, PIXELS, ALIKE = KINDS


def _png(image, **settings):
    file = io.BytesIO()
    image.save(file, "PNG", **settings)
    return file.getvalue()


def _jpeg(image, quality):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(io.BytesIO(file.getvalue())).convert("RGB")


CHANGES = {
    "coarse JPEG": lambda image: _jpeg(image, 25),
    "half the size": lambda image: image.resize((64, 48)),
    "three times the size": lambda image: image.resize((384, 288), Image.Resampling.BICUBIC),
    "stretched": lambda image: image.resize((128, 128)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.5),
    "less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.6),
    "grey": lambda image: ImageOps.grayscale(image).convert("RGB"),
}


def _found(index, distance=DISTANCE):
    """Kind -> groups as sets of file names, and the pictures."""
    pictures, _ = read_pictures(index.splits)
    groups = find_duplicates(pictures, distance=distance)
    names = {
        kind: [{pictures[m].item.group for m in group.members} for group in found]
        for kind, found in groups.items()
    }
    return names, groups, pictures


def test_copies_in_bytes_and_in_pixels(make_index):
    image = scene(0)
    index = make_index(
        {
            "train/a/1.png": _png(image),
            "train/a/2.png": _png(image),
            "train/a/3.png": _png(image, compress_level=1),
            "train/a/4.png": scene(1),
        }
    )
    names, groups, pictures = _found(index)
    assert names[BYTES] == [{"train/a/1.png", "train/a/2.png"}]
    assert names[PIXELS] == names[ALIKE] == [{f"train/a/{n}.png" for n in (1, 2, 3)}]
    (group,) = groups[ALIKE]
    assert not group.across_classes and not group.across_splits
    assert [duplicate_type(pictures[0], pictures[n]) for n in (1, 2)] == [BYTES, PIXELS]


@pytest.mark.parametrize("name", CHANGES)
def test_changed_copies_are_found_and_nothing_else(make_index, name):
    files = {f"train/a/{n:02d}.png": scene(n) for n in range(30)}
    changed = {f"val/a/{n:02d}.png": CHANGES[name](scene(n)) for n in range(10)}
    names, groups, _ = _found(make_index({**files, **changed}))
    pairs = [{f"train/a/{n:02d}.png", f"val/a/{n:02d}.png"} for n in range(10)]
    assert sorted(names[ALIKE], key=min) == pairs
    assert names[BYTES] == names[PIXELS] == []
    assert all(group.across_splits for group in groups[ALIKE])


def test_different_pictures_are_no_duplicates(make_index):
    names, _, _ = _found(make_index({f"train/a/{n}.png": scene(n) for n in range(150)}))
    assert names == {BYTES: [], PIXELS: [], ALIKE: []}


def test_plain_pictures_do_not_look_alike(make_index):
    colours = ["red", "green", "blue", "white", "black", "grey"]
    plain = {f"train/a/{c}.png": Image.new("RGB", (40, 30), c) for c in colours}
    noise = np.random.default_rng(0).normal(128, 8, (6, 60, 60, 3)).astype(np.uint8)
    noisy = {f"train/b/{n}.png": Image.fromarray(pixels) for n, pixels in enumerate(noise)}
    again = {"val/a/red.png": Image.new("RGB", (40, 30), "red")}
    names, _, _ = _found(make_index({**plain, **noisy, **again}))
    assert names[ALIKE] == [{"train/a/red.png", "val/a/red.png"}]


def test_the_hash_alone_does_not_decide(make_index, monkeypatch):
    files = {"train/a/1.png": scene(1), "train/a/2.png": scene(2)}
    index = make_index(files)
    assert _found(index, distance=64)[0][ALIKE] == []
    monkeypatch.setattr(duplicates, "CORRELATION", -1)
    assert _found(index, distance=64)[0][ALIKE] == [set(files)]


def test_conflicts_and_leakage(make_index):
    index = make_index({
        "train/a/1.png": scene(1), "train/b/1.png": scene(1),
        "train/a/2.png": scene(2), "val/a/2.png": scene(2),
        "train/a/3.png": scene(3), "test/b/3.png": scene(3),
    })  # fmt: skip
    _, groups, _ = _found(index)
    flags = [(g.across_classes, g.across_splits) for g in groups[PIXELS]]
    assert flags == [(True, False), (False, True), (True, True)]


def test_unlabelled_pictures_conflict_with_nothing(make_index):
    index = make_index({"train/a/1.png": scene(1), "predict/a/1.png": scene(1)})
    index.splits["predict"] = [item._replace(label=-1) for item in index.splits["predict"]]
    (group,) = _found(index)[1][PIXELS]
    assert group.across_splits and not group.across_classes


def _crops(index, split, boxes):
    (item,) = index.splits[split]
    index.splits[split] = [Item(item.path, 0, box, item.group) for box in boxes]


def test_items_of_one_image_are_no_duplicates(make_index):
    index = make_index({"train/a/1.png": scene(1)})
    _crops(index, "train", [(0, 0, 90, 90), (0, 0, 90, 90), (1, 1, 91, 91), None])
    assert _found(index)[0] == {BYTES: [], PIXELS: [], ALIKE: []}


def test_the_same_boxes_of_a_copied_image(make_index):
    index = make_index({"train/a/1.png": _png(scene(1)), "val/a/2.png": _png(scene(1))})
    for split in ("train", "val"):
        _crops(index, split, [(0, 0, 60, 60), (60, 30, 120, 90)])
    _, groups, _ = _found(index)
    assert [group.members for group in groups[BYTES]] == [(0, 2), (1, 3)]
    assert groups[ALIKE] == groups[BYTES]


def test_overlapping_boxes_meet_only_through_the_other_image(make_index):
    index = make_index({"train/a/1.png": scene(1), "val/a/2.png": scene(1)})
    for split in ("train", "val"):
        _crops(index, split, [(0, 0, 90, 90), (1, 1, 91, 91)])
    _, groups, pictures = _found(index)
    for group in groups[ALIKE]:
        for member in group.members:
            other = counterpart(member, group, pictures)
            assert pictures[other].item.group != pictures[member].item.group


def test_a_film_of_frames_is_one_group(make_index, monkeypatch):
    # More pairs than are compared at a time.
    monkeypatch.setattr(duplicates, "CHUNK", 50)
    still = np.asarray(scene(1), np.int16)
    frames = {
        f"train/a/{n:02d}.png": Image.fromarray((still + n % 3).clip(0, 255).astype(np.uint8))
        for n in range(60)
    }
    names, _, _ = _found(make_index({**frames, "train/a/other.png": scene(2)}))
    assert names[ALIKE] == [set(frames)]
    assert sorted(map(len, names[PIXELS])) == [20, 20, 20]
