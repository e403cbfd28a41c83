from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.errors import DataError
from datamodules.sources.source import Index, Item
from datamodules.splits.splits import Splits

NAMES = ("a", "b", "c")


def items(labels, prefix="") -> list[Item]:
    return [Item(f"/{prefix}{n}", c, None, f"{prefix}{n}") for n, c in enumerate(labels)]


def index(**splits) -> Index:
    return Index(NAMES, splits)


def test_unsplit_images_are_shared_out_and_nothing_else_changes():
    found = items([0, 1, 2] * 20)
    split = Splits().apply(index(unsplit=found, predict=items([-1], "p"))).splits
    assert {name: len(members) for name, members in split.items()} == {
        "train": 42, "val": 9, "test": 9, "predict": 1,
    }  # fmt: skip
    assert {*split["train"], *split["val"], *split["test"]} == set(found)
    for name in ("val", "test"):
        assert Counter(item.label for item in split[name]) == {0: 3, 1: 3, 2: 3}
        assert [item for item in found if item in split[name]] == split[name], "order is kept"


def test_a_ready_test_split_leaves_train_and_val():
    split = Splits(val_fraction=0.25).apply(index(unsplit=items([0, 1] * 20), test=items([0], "t")))
    assert {name: len(members) for name, members in split.splits.items()} == {
        "train": 30, "val": 10, "test": 1,
    }  # fmt: skip


def test_ready_splits_stay():
    ready = index(train=items([0, 1]), val=items([0], "v"))
    assert Splits().apply(ready) == ready


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=12, max_size=60), st.integers(2, 5))
def test_folds_cover_every_image_once(labels, count):
    ready = index(train=items(labels), val=items(labels[:3], "v"), test=items([0], "t"))
    whole = {*ready.splits["train"], *ready.splits["val"]}
    validated = []
    for fold in range(count):
        split = Splits(fold=fold, num_folds=count).apply(ready).splits
        assert split["test"] == ready.splits["test"]
        assert {*split["train"], *split["val"]} == whole
        assert not {i.group for i in split["train"]} & {i.group for i in split["val"]}
        validated += split["val"]
        total = Counter(item.label for item in whole)
        for label, found in Counter(item.label for item in split["val"]).items():
            assert abs(found - total[label] / count) <= 1
    assert len(validated) == len(whole)
    assert set(validated) == whole


def test_folds_keep_the_boxes_of_an_image_together():
    boxes = [Item(f"/{n // 3}", n % 3, (0, 0, 9, n + 1), f"{n // 3}") for n in range(60)]
    for fold in range(4):
        split = Splits(fold=fold, num_folds=4).apply(index(unsplit=boxes)).splits
        groups = [{item.group for item in split[name]} for name in ("train", "val", "test")]
        assert sum(map(len, groups)) == len(set.union(*groups)) == 20


def test_folds_leave_the_test_split_alone():
    tests = [
        Splits(fold=fold, num_folds=3).apply(index(unsplit=items([0, 1, 2] * 20))).splits["test"]
        for fold in range(3)
    ]
    assert tests[0] == tests[1] == tests[2]
    assert tests[0] == Splits().apply(index(unsplit=items([0, 1, 2] * 20))).splits["test"]


def test_training_on_all(caplog):
    ready = index(train=items([0, 1]), val=items([2], "v"), test=items([0], "t"))
    split = Splits(train_on_all=True).apply(ready, write=True).splits
    assert split["train"] == [*ready.splits["train"], *ready.splits["val"]]
    assert split["val"] == ready.splits["val"] and split["test"] == ready.splits["test"]
    assert "val/* says nothing of new images" in caplog.text


def test_splits_are_written_and_followed(tmp_path, caplog):
    file = tmp_path / "kept" / "splits.csv"
    found = items([0, 1] * 20)
    first = Splits(file=str(file)).apply(index(unsplit=found), write=True)
    assert file.read_text().startswith("image,split\n0,")
    assert not list(file.parent.glob(".*"))
    # Images that join later, another seed: nobody changes sides.
    more = [*found, *items([0, 1] * 5, "new")]
    caplog.set_level("INFO")
    again = Splits(file=str(file), seed=9).apply(index(unsplit=more), write=True)
    for name, members in first.splits.items():
        assert set(members) <= set(again.splits[name])
    assert "New images were added to the splits in" in caplog.text
    assert len(file.read_text().splitlines()) == 51
    # Images that are gone, and a person's own choice.
    gone, moved = first.splits["train"][:2]
    file.write_text(file.read_text().replace(f"\n{moved.group},train", f"\n{moved.group},val"))
    left = [item for item in found if item != gone]
    edited = Splits(file=str(file)).apply(index(unsplit=left), write=True)
    assert set(edited.splits["val"]) == {*first.splits["val"], moved}


def test_checking_writes_nothing(tmp_path):
    Splits(file=str(tmp_path / "splits.csv")).apply(index(unsplit=items([0, 1] * 20)))
    assert not list(tmp_path.iterdir())


def test_folds_are_remembered_apart(tmp_path):
    file = tmp_path / "splits.csv"
    ready = index(train=items([0, 1] * 20), val=items([0, 1], "v"))
    Splits(file=str(file), fold=0, num_folds=4).apply(ready, write=True)
    assert [path.name for path in tmp_path.iterdir()] == ["splits_4_folds.csv"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,b\n", "does not start with the line image,split"),
        ("image,split\n0,training\n", "Line 2 of the split file .* is '0,training'.*train, val"),
        ("image,split\n0,val\n0,train\n", "Line 3 .*each image stands there once"),
        ("image,split\n0\n", "Line 2"),
        ("\x00", "does not start|cannot be read"),
    ],
)
def test_broken_split_files(tmp_path, text, sentence):
    file = tmp_path / "splits.csv"
    file.write_text(text)
    with pytest.raises(DataError, match=sentence):
        Splits(file=str(file)).apply(index(unsplit=items([0, 1] * 20)))


def test_a_split_file_that_is_no_text(tmp_path):
    (tmp_path / "splits.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read"):
        Splits(file=str(tmp_path / "splits.csv")).apply(index(unsplit=items([0, 1] * 20)))


def test_a_place_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot be written .*data.split.file"):
        Splits(file=str(tmp_path / "file" / "s.csv")).apply(
            index(unsplit=items([0, 1] * 20)), write=True
        )


def test_a_class_with_one_image_says_so(caplog):
    Splits().apply(index(unsplit=items([0, 1] * 20 + [2])), write=True)
    assert "fewer than 2 images cannot be split and are missing on one side: c (1)" in caplog.text


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"val_fraction": 0}, "leave a split empty"),
        ({"val_fraction": 0.5, "test_fraction": 0.5}, "leave a split empty"),
        ({"test_fraction": -0.1}, "data.split.test_fraction=-0.1 is not .* give a number in 0..1."),
        ({"val_fraction": "half"}, "data.split.val_fraction=half is not allowed"),
        ({"fold": 0}, "give both, as in data.fold=0"),
        ({"num_folds": 5}, "give both, as in data.fold=0"),
        ({"fold": 5, "num_folds": 5}, "data.fold=5 is not one of data.num_folds=5 folds"),
        (
            {"fold": 0, "num_folds": 1},
            "data.num_folds=1 is not allowed; give a whole number from 2",
        ),
        ({"fold": 0, "num_folds": 5, "train_on_all": True}, "exclude each other"),
    ],
)
def test_settings_that_do_not_go_together(settings, sentence):
    with pytest.raises(DataError, match=sentence):
        Splits(**settings)


def test_too_few_images():
    with pytest.raises(DataError, match="2 pictures in 2 images are too few for a test split"):
        Splits().apply(index(unsplit=items([0, 0])))
    with pytest.raises(DataError, match="num_folds=5 is more than the 3 images"):
        Splits(fold=0, num_folds=5).apply(index(train=items([0, 1]), val=items([0], "v")))
