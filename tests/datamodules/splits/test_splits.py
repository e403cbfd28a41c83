from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.errors import DataError
from datamodules.sources.source import Index, Item
from datamodules.splits.split_file import MARK, read_split_file
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
    assert file.read_text().startswith(
        f'{MARK}{{"root": null, "of_run": false, "key": null}}\nimage,split\n0,'
    )
    assert not list(file.parent.glob(".*"))
    # Images that join later, another seed: nobody changes sides.
    more = [*found, *items([0, 1] * 5, "new")]
    caplog.set_level("INFO")
    again = Splits(file=str(file), seed=9).apply(index(unsplit=more), write=True)
    for name, members in first.splits.items():
        assert set(members) <= set(again.splits[name])
    assert "New images were added to the splits in" in caplog.text
    assert len(file.read_text().splitlines()) == 52
    # Images that are gone, and a person's own choice.
    gone, moved = first.splits["train"][:2]
    file.write_text(file.read_text().replace(f"\n{moved.group},train", f"\n{moved.group},val"))
    left = [item for item in found if item != gone]
    edited = Splits(file=str(file)).apply(index(unsplit=left), write=True)
    assert set(edited.splits["val"]) == {*first.splits["val"], moved}


def test_checking_writes_nothing(tmp_path):
    Splits(file=str(tmp_path / "splits.csv")).apply(index(unsplit=items([0, 1] * 20)))
    assert not list(tmp_path.iterdir())


def test_folds_are_remembered_as_columns(tmp_path):
    file = tmp_path / "splits.csv"
    ready = index(train=items([0, 1] * 20), val=items([0, 1], "v"))
    first = Splits(file=str(file), fold=0, num_folds=4).apply(ready, write=True)
    lines = file.read_text().splitlines()
    # The folders' own splits may hold other images next time.
    assert lines[1] == "image,split,fold_of_4" and lines[2].startswith("0,,") and len(lines) == 44
    Splits(file=str(file), fold=1, num_folds=3, seed=7).apply(ready, write=True)
    assert file.read_text().splitlines()[1] == "image,split,fold_of_3,fold_of_4"
    again = Splits(file=str(file), fold=0, num_folds=4, seed=7).apply(ready, write=True)
    assert again == first


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,b\n", "is not understood: give it a line image,split"),
        ("image,split\n", "is not understood: give it a line image,split"),
        (
            "image,split\n0,trained\n",
            "Line 2 of the split file .* is '0,trained'.*train, val or test",
        ),
        ("image,split\n0,val\n0,train\n", "stand there twice; .*: 0 in the lines 2 and 3"),
        ("image,split\n0\n", "Line 2 .*has 1 cells where the first has 2"),
        ("\x00", "cannot be read"),
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
    assert (
        "Classes with few images are missing in a split: val has no image of c (1); test has no "
        "image of c (1); add images, or leave them out." in caplog.text
    )


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


def test_a_run_records_its_split_with_the_root(tmp_path):
    record = tmp_path / "run" / "splits.csv"
    found = index(unsplit=items([0, 1] * 10), test=items([0, 1], "t"))
    first = Splits(record=record, root="/photos é").apply(found, write=True)
    kept = read_split_file(record)
    assert kept.root == "/photos é" and kept.of_run and not kept.fold_of
    assert kept.split_of == {
        item.group: name for name, members in first.splits.items() for item in members
    }
    assert not list(record.parent.glob(".*"))
    assert Splits(record=record, seed=5, val_fraction=0.4).apply(found) == first


def test_the_record_is_the_only_authority(tmp_path, caplog):
    record, memory = tmp_path / "splits.csv", tmp_path / "memory.csv"
    found = items([0, 1] * 10)
    first = Splits(record=record, memory=memory).apply(index(unsplit=found), write=True)
    before = record.read_bytes(), memory.read_bytes()
    memory.write_text("broken")
    (tmp_path / "mine.csv").write_text("broken")
    later = index(unsplit=[*found[2:], *items([0, 1], "new")])
    again = Splits(record=record, memory=memory, file=tmp_path / "mine.csv", root="/moved").apply(
        later, write=True
    )
    assert again.splits == {
        name: [item for item in members if item in found[2:]]
        for name, members in first.splits.items()
    }
    assert (again.new, again.gone) == (("new0", "new1"), ("0", "1"))
    assert record.read_bytes() == before[0] and memory.read_text() == "broken"
    assert (
        "Since this run: 2 images joined and are left out (the first: new0), and 2 of its images "
        "are gone (the first: 0)." in caplog.text
    )


def test_folders_of_splits_stay_as_the_run_had_them(tmp_path):
    record = tmp_path / "splits.csv"
    ready = index(train=items([0, 1, 0, 1], "train/"), val=items([0, 1], "val/"))
    first = Splits(record=record).apply(ready, write=True)
    more = index(train=ready.splits["train"], val=items([0, 1, 0], "val/"))
    again = Splits(record=record).apply(more, write=True)
    assert again.splits == first.splits and again.new == ("val/2",) and not again.gone
    # The folder val/ went, so that the source has no splits any more.
    alone = Splits(record=record).apply(index(unsplit=ready.splits["train"]))
    assert alone.splits == {"train": ready.splits["train"]} and alone.gone == ("val/0", "val/1")


def test_one_record_serves_all_folds_of_a_study(tmp_path):
    record = tmp_path / "splits.csv"
    found = index(unsplit=items([0, 1, 2] * 20))
    validated, once = [], b""
    for fold in range(3):
        splits = Splits(record=record, fold=fold, num_folds=3, seed=fold)
        validated += splits.apply(found, write=True).splits["val"]
        once = once or record.read_bytes()
        assert record.read_bytes() == once
    assert len(validated) == len(set(validated)) == 51
    assert set(read_split_file(record).fold_of) == {3}
    whole = Splits(record=record, train_on_all=True).apply(found)
    assert len(whole.splits["train"]) == 51 and len(whole.splits["val"]) == 9


def test_what_a_list_leaves_out_is_not_gone(tmp_path):
    record, listed = tmp_path / "splits.csv", tmp_path / "list.csv"
    found = items([0, 1] * 20)
    first = Splits(record=record).apply(index(unsplit=found), write=True)
    listed.write_text(f"path\n{found[0].group}\n{found[1].group}\n")
    fewer = Splits(record=record, exclude=listed).apply(index(unsplit=found))
    assert not fewer.gone and not fewer.new
    for name, members in first.splits.items():
        assert fewer.splits[name] == [item for item in members if item not in found[:2]]


def test_a_record_of_other_images(tmp_path):
    record = tmp_path / "splits.csv"
    Splits(record=record, root="/photos").apply(index(unsplit=items([0, 1] * 10)), write=True)
    with pytest.raises(
        DataError, match=r"None of the images is in .*splits.csv.*data.root.*/photos"
    ):
        Splits(record=record).apply(index(unsplit=items([0, 1] * 10, "other")))


def test_what_earlier_versions_remembered_is_followed(tmp_path):
    memory = tmp_path / "photos_1234.csv"
    found = items([0, 1] * 10)
    ours = {item.group: ("val", "test", "train")[n % 3] for n, item in enumerate(found)}
    folds = {item.group: str(n % 2) for n, item in enumerate(found) if n % 3 != 1}
    memory.write_text("image,split\n" + "".join(f"{i},{s}\n" for i, s in sorted(ours.items())))
    apart = tmp_path / "photos_1234_2_folds.csv"
    apart.write_text("image,split\n" + "".join(f"{i},{s}\n" for i, s in folds.items()))
    split = Splits(memory=memory).apply(index(unsplit=found)).splits
    assert {i.group: name for name, of in split.items() for i in of} == ours
    fold = Splits(memory=memory, fold=1, num_folds=2).apply(index(unsplit=found), write=True).splits
    assert {i.group for i in fold["val"]} == {i for i, n in folds.items() if n == "1"}
    # Nothing is to be added, so the file stays as it is; another number of folds is added.
    assert memory.read_text().startswith("image,split\n")
    Splits(memory=memory, fold=1, num_folds=3).apply(index(unsplit=found), write=True)
    whole = read_split_file(memory)
    assert whole.split_of == ours and set(whole.fold_of) == {2, 3} and not whole.of_run


def test_a_run_follows_the_record_of_another_and_leaves_it_alone(tmp_path):
    other, record = tmp_path / "other.csv", tmp_path / "splits.csv"
    found = items([0, 1] * 20)
    first = Splits(record=other, seed=3).apply(index(unsplit=found[:30]), write=True)
    before = other.read_bytes()
    second = Splits(file=other, record=record).apply(index(unsplit=found[2:]), write=True)
    assert other.read_bytes() == before
    for name, members in first.splits.items():
        assert set(members) - set(found[:2]) <= set(second.splits[name])


def test_only_training_images_are_needed():
    for name in ("val", "test"):
        with pytest.raises(DataError, match=f"There are {name} images and none to train on"):
            Splits().apply(index(**{name: items([0, 1])}))
