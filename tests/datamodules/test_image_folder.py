import re

import pytest

from datamodules.errors import DataError
from datamodules.sources.image_folder import ImageFolder


def test_reads_sorted_classes_and_items(make_folder):
    root = make_folder({"train": {"b": 2, "a": 1}, "val": {"a": 1, "b": 1}})
    (root / "train" / "a" / "notes.txt").write_text("no image")
    (root / "train" / ".hidden").mkdir()
    index = ImageFolder(root=str(root)).read()
    assert index.class_names == ("a", "b") == ImageFolder(root=str(root)).check()
    assert list(index.splits) == ["train", "val"]
    expected = [("a/0000.png", 0), ("b/0000.png", 1), ("b/0001.png", 1)]
    found = [(i.path.removeprefix(f"{root}/train/"), i.label) for i in index.splits["train"]]
    assert found == expected
    assert all(i.box is None and i.group == i.path for i in index.splits["train"])


def test_test_split_and_upper_case_suffix(make_folder):
    classes = {"a": 1, "b": 1}
    root = make_folder({"train": classes, "val": classes, "test": classes}, suffix=".PNG")
    index = ImageFolder(root=str(root)).read()
    assert {split: len(items) for split, items in index.splits.items()} == {
        "train": 2,
        "val": 2,
        "test": 2,
    }


def _check(root) -> str:
    with pytest.raises(DataError) as caught:
        ImageFolder(root=str(root)).check()
    return str(caught.value)


def test_missing_root(tmp_path):
    message = _check(tmp_path / "nowhere")
    assert "nowhere does not exist" in message and "{train,val[,test]}/<class>" in message


def test_empty_root(tmp_path):
    message = _check(tmp_path)
    assert "has no train folder" in message and "{train,val[,test]}/<class>" in message


def test_missing_val(make_folder):
    assert "has no val folder" in _check(make_folder({"train": {"a": 1}}))


def test_split_without_classes(make_folder):
    root = make_folder({"train": {"a": 1}})
    (root / "val").mkdir()
    assert re.search(r"val holds no class folders", _check(root))


def test_class_without_images(make_folder):
    root = make_folder({"train": {"a": 1, "empty": 0}, "val": {"a": 1, "empty": 1}})
    assert "train/empty has no images" in _check(root)


@pytest.mark.parametrize("split", ["val", "test"])
def test_different_classes(make_folder, split):
    counts = {"train": {"a": 1, "b": 1}, "val": {"a": 1, "b": 1}, "test": {"a": 1, "b": 1}}
    root = make_folder({**counts, split: {"a": 1, "c": 1}})
    assert f"only in train: b; only in {split}: c" in _check(root)
