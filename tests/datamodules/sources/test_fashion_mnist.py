"""Fashion-MNIST: idx files as people have them, and what is wrong with others."""

import gzip
import struct

import numpy as np
import pytest
from PIL import Image

from datamodules.errors import DataError
from datamodules.sources import overview_lines
from datamodules.sources.fashion_mnist import CLASS_NAMES, FashionMnist
from datamodules.splits import Splits
from tests.conftest import SHARED, needs_shared

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
         "t10k-labels-idx1-ubyte")  # fmt: skip
PIXELS = np.random.default_rng(0).integers(0, 256, (70, 28, 28), dtype=np.uint8)
LABELS = np.arange(70, dtype=np.uint8) % 10


def idx(array, magic=None):
    head = magic or bytes((0, 0, 8, array.ndim))
    return head + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


CONTENT = dict(
    zip(NAMES, map(idx, (PIXELS[:50], LABELS[:50], PIXELS[50:], LABELS[50:])), strict=True)
)


@pytest.fixture
def put(tmp_path):
    """Writes the four files, some of them changed; gives the settings of the source."""

    def write(folder=".", *, pack=False, rename=lambda name: name, **changes):
        place = tmp_path / "fashion" / folder
        place.mkdir(parents=True, exist_ok=True)
        for name, content in {**CONTENT, **changes}.items():
            if content is not None:
                packed = gzip.compress(content) if pack else content
                path = place / (rename(name) + (".gz" if pack else ""))
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(packed)
        root, unpacked = str(tmp_path / "fashion"), str(tmp_path / "cache" / "unpacked")
        return {"root": root, "unpacked_dir": unpacked}

    return write


def inside(name):
    return f"{name}/{name}"


@pytest.mark.parametrize(
    ("folder", "pack", "rename"),
    [
        (".", True, str),
        (".", False, str),
        ("FashionMNIST/raw", False, str),
        ("raw", True, str),
        (".", False, lambda name: name.replace("-idx", ".idx")),
        (".", True, lambda name: name.replace("-idx", ".idx")),
        (".", False, inside),
    ],
)
def test_files_as_people_have_them(put, folder, pack, rename):
    source = FashionMnist(**put(folder, pack=pack, rename=rename))
    assert not source.is_made
    assert source.check() == CLASS_NAMES and not source.folder.exists()
    source.prepare()
    assert source.is_made
    index = source.read()
    assert index.class_names == CLASS_NAMES
    assert {split: len(items) for split, items in index.splits.items()} == {
        "unsplit": 50,
        "test": 20,
    }
    for items, start in ((index.splits["unsplit"], 0), (index.splits["test"], 50)):
        for number, item in enumerate(items, start):
            assert item.label == LABELS[number]
            assert np.array_equal(np.asarray(Image.open(item.path)), PIXELS[number])
    assert index.splits["test"][3].group == "test/00003.png"


def test_what_was_found_is_said(put):
    source = FashionMnist(**put(pack=True))
    source.prepare()
    lines = overview_lines(Splits(val_fraction=0.2).apply(source.read()))
    assert lines[:3] == (
        f"classes   10: {', '.join(CLASS_NAMES)}",
        f"images    {', '.join(f'{name} 7' for name in CLASS_NAMES)}; train 40, val 10 shared out "
        "of train-images-idx3-ubyte.gz, test 20 of t10k-images-idx3-ubyte.gz",
        "left out  nothing",
    )


def test_the_official_test_stays_and_validation_is_a_stratified_share(put):
    source = FashionMnist(**put())
    source.prepare()
    found = Splits(val_fraction=0.2, test_fraction=0.3).apply(source.read()).splits
    assert {split: len(items) for split, items in found.items()} == {
        "train": 40,
        "val": 10,
        "test": 20,
    }
    assert sorted(item.label for item in found["val"]) == list(range(10))


def test_written_once_and_anew_when_a_file_changes(put):
    settings = put()
    first = FashionMnist(**settings)
    first.prepare()
    time = (first.folder / "train" / "00000.png").stat().st_mtime_ns
    again = FashionMnist(**settings)
    again.prepare()
    assert again.folder == first.folder
    assert (again.folder / "train" / "00000.png").stat().st_mtime_ns == time
    put(**{NAMES[0]: idx(PIXELS[1:51])})
    changed = FashionMnist(**settings)
    assert not changed.is_made
    changed.prepare()
    assert np.array_equal(
        np.asarray(Image.open(changed.read().splits["unsplit"][0].path)), PIXELS[1]
    )


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (NAMES[0], None, "has no train-images-idx3-ubyte or train-images-idx3-ubyte.gz, which"),
        (NAMES[3], None, "has no t10k-labels-idx1-ubyte or .*Get it with X."),
        (NAMES[0], idx(PIXELS[:50], b"\0\0\x08\x01"),
         "begins with the bytes 00 00 08 01 and not with 00 00 08 03, so it is no idx file of 3"),
        (NAMES[1], b"<html>", "begins with the bytes 3c 68 74 6d and not with 00 00 08 01"),
        (NAMES[1], b"", "begins with the bytes  and not with"),
        (NAMES[0], idx(PIXELS[:49]), "holds 49 images and .*train-labels-idx1-ubyte.* 50 labels"),
        (NAMES[0], idx(PIXELS[:50])[:-1],
         "images-idx3-ubyte.* has 39,215 bytes where its header promises 39,216: it was not"),
        (NAMES[2], idx(PIXELS)[:9], "has 9 bytes where its header promises 16"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("pack", [True, False])
def test_what_headers_show_is_one_sentence(put, name, content, said, pack):
    source = FashionMnist(**put(pack=pack, **{name: content}), how_to_get="Get it with X.")
    with pytest.raises(DataError, match=said) as error:
        source.check()
    assert "\n" not in str(error.value)


def test_truncated_and_damaged_packing(put, tmp_path):
    settings = put(pack=True)
    path = tmp_path / "fashion" / f"{NAMES[0]}.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"-ubyte.gz cannot be read \(.*end-of-stream.*get it aga"):
        FashionMnist(**settings).check()
    path.write_bytes(whole[:5000] + bytes(100) + whole[5100:])
    source = FashionMnist(**settings)
    with pytest.raises(DataError, match=r"ubyte.gz cannot be read \(.*: it is damaged"):
        source.prepare()
    assert not source.is_made and not list(source.folder.parent.glob("*.part"))


def test_labels_without_a_name(put):
    source = FashionMnist(**put(**{NAMES[3]: idx(LABELS[50:] + 1)}))
    with pytest.raises(DataError, match="holds the label 10, and there are 10 class names, from 0"):
        source.prepare()
    assert not source.is_made


def test_another_set_in_such_files(put):
    settings = put()
    named = FashionMnist(**settings, class_names=[*range(10)])
    named.prepare()
    assert named.read().class_names == tuple("0123456789") and named.read().notes == ()
    source = FashionMnist(**settings)
    source.prepare()
    assert named.folder != source.folder
    assert "holds other labels than Fashion-MNIST's" in source.read().notes[0]
    with pytest.raises(DataError, match="class_names=.* are not two or more different names"):
        FashionMnist(**settings, class_names=["a", "a"])


def test_an_absent_root():
    with pytest.raises(DataError, match="The data folder /none does not exist: set data.root to"):
        FashionMnist(root="/none").check()


@pytest.mark.slow
@needs_shared("data", "fashion_mnist")
def test_the_published_set(tmp_path):
    root = SHARED / "data" / "fashion_mnist"
    source = FashionMnist(root=str(root), unpacked_dir=str(tmp_path))
    source.prepare()
    index = source.read()
    assert index.notes == ()
    assert {split: len(items) for split, items in index.splits.items()} == {
        "unsplit": 60_000,
        "test": 10_000,
    }
    assert [index.class_names[item.label] for item in index.splits["test"][:4]] == [
        "Ankle boot", "Pullover", "Trouser", "Trouser"]  # fmt: skip
