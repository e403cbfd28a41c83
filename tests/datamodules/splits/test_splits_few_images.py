"""Classes of few images: what they give to which split, and what is said of it."""

import pytest

from datamodules.errors import DataError
from datamodules.sources.image_folder import ImageFolder
from datamodules.sources.source import Index, Item
from datamodules.splits.splits import Splits


def counts(index: Index) -> dict[str, list[int]]:
    labels = range(len(index.class_names))
    return {
        split: [sum(item.label == label for item in members) for label in labels]
        for split, members in index.splits.items()
    }


def classes(*sizes) -> Index:
    names = tuple(f"c{label:03d}" for label in range(len(sizes)))
    items = [
        Item(f"/{name}/{n}.jpg", label, None, f"{name}/{n}.jpg")
        for label, (name, size) in enumerate(zip(names, sizes, strict=True))
        for n in range(size)
    ]
    return Index(names, {"unsplit": items})


def test_three_images_of_each_class(cases, caplog):
    source = ImageFolder(root=str(cases("layouts") / "l35_few"))
    found = Splits().apply(source.read(), write=True)
    assert counts(found) == {"train": [1, 1], "val": [1, 1], "test": [1, 1]}
    assert "missing in a split" not in caplog.text


def test_one_image_of_each_class(cases):
    source = ImageFolder(root=str(cases("layouts") / "l36_two_images"))
    with pytest.raises(DataError, match="2 pictures in 2 images are too few for a val split"):
        Splits().apply(source.read())


@pytest.mark.parametrize(
    ("name", "right"), [("l24_single_image_class", [1, 0, 0]), ("l25_two_images_class", [1, 1, 0])]
)
def test_what_a_split_lacks_is_said(cases, caplog, name, right):
    source = ImageFolder(root=str(cases("layouts") / name))
    found = counts(Splits().apply(source.read(), write=True))
    assert [found[split][2] for split in ("train", "val", "test")] == right
    lacking = [
        f"{split} has no image of emu ({sum(right)})"
        for split, count in zip(("train", "val", "test"), right, strict=True)
        if not count
    ]
    assert [record.getMessage() for record in caplog.records] == [
        f"Classes with few images are missing in a split: {'; '.join(lacking)}; add images, or "
        "leave them out."
    ]


def test_a_hundred_classes_of_four(caplog):
    found = counts(Splits().apply(classes(*[4] * 100), write=True))
    assert found == {"train": [2] * 100, "val": [1] * 100, "test": [1] * 100}
    assert not caplog.records


def test_many_classes_are_said_in_one_line(caplog):
    Splits().apply(classes(*[2] * 100, 40), write=True)
    (said,) = (record.getMessage() for record in caplog.records)
    assert "test has no image of c000 (2), c001 (2), " in said and " and 90 more" in said
    assert "val has" not in said and len(said) < 300


def test_versions_of_three_photographs_reach_three_splits():
    items = [
        Item(f"/c/{n}.rf.{v}00000.jpg", 0, None, f"c/{n}.rf.{v}00000.jpg")
        for n in range(3)
        for v in range(3)
    ]
    found = Splits().apply(Index(("c",), {"unsplit": items}))
    assert counts(found) == {"train": [3], "val": [3], "test": [3]}


def test_a_fold_says_what_it_lacks(caplog):
    Splits(num_folds=5, fold=0).apply(classes(20, 2), write=True)
    assert "Classes with few images are missing in a split: " in caplog.text
