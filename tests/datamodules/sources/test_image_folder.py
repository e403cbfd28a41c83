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
    assert all(i.box is None and i.path == f"{root}/{i.group}" for i in index.splits["train"])


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
    assert "nowhere does not exist" in message and "[train/]<class>" in message
    with pytest.raises(DataError, match="Fetch it.$"):
        ImageFolder(root=str(tmp_path / "nowhere"), how_to_get="Fetch it.").check()


def test_empty_root(tmp_path):
    message = _check(tmp_path)
    assert "holds no class folders" in message and "[train/]<class>" in message


def test_class_folders_without_splits_are_unsplit(make_folder, tmp_path):
    root = make_folder({".": {"a": 2, "b": 1}})
    index = ImageFolder(root=str(root)).read()
    assert index.class_names == ("a", "b")
    found = [(i.group, i.label) for i in index.splits["unsplit"]]
    assert found == [("a/0000.png", 0), ("a/0001.png", 0), ("b/0000.png", 1)]
    assert list(index.splits) == ["unsplit"]


def test_without_val_train_is_unsplit(make_folder):
    index = ImageFolder(root=str(make_folder({"train": {"a": 3}, "test": {"a": 2}}))).read()
    assert {split: len(items) for split, items in index.splits.items()} == {"unsplit": 3, "test": 2}


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_single_split_is_read_as_it_is(make_folder, split):
    index = ImageFolder(root=str(make_folder({split: {"a": 1}}))).read()
    assert {split: len(items) for split, items in index.splits.items()} == {split: 1}
    assert index.sources == {split: f"{split}/"}


@pytest.mark.parametrize("counts", [{"train": {"a": 2, "b": 1}, "val": {"a": 1, "b": 1}},
                                    {".": {"a": 2, "b": 1}}])  # fmt: skip
def test_images_in_a_test_folder_are_unlabelled(make_folder, counts):
    root = make_folder(counts)
    make_folder({"test": {"x": 2}}, root=root)
    for path in (root / "test" / "x").iterdir():
        path.rename(root / "test" / path.name)
    (root / "test" / "x").rmdir()
    index = ImageFolder(root=str(root)).read()
    assert index.class_names == ("a", "b")
    assert "test" not in index.splits
    found = [(i.group, i.label) for i in index.splits["predict"]]
    assert found == [("test/0000.png", -1), ("test/0001.png", -1)]


def test_classes_may_be_called_like_splits(make_folder):
    root = make_folder({"train": {"train": 1, "test": 1}, "val": {"train": 1, "test": 1}})
    assert ImageFolder(root=str(root)).check() == ("test", "train")


def test_folders_in_class_folders_and_loops_of_links(make_folder):
    root = make_folder({"train": {"a": 1}, "val": {"a": 1}})
    make_folder({"deep": {"er": 2}}, root=root / "train" / "a")
    (root / "train" / "a" / "loop").symlink_to(root / "train")
    (root / "train" / "a" / "self.jpg").symlink_to(root / "train" / "a" / "self.jpg")
    found = [i.group for i in ImageFolder(root=str(root)).read().splits["train"]]
    assert found == ["train/a/0000.png", "train/a/deep/er/0000.png", "train/a/deep/er/0001.png",
                     "train/a/self.jpg"]  # fmt: skip


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
