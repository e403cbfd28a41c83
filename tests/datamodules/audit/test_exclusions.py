"""What an audit would leave out, and that it is gone once the list is used."""

import dataclasses

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from datamodules.audit import (
    LabelIssue,
    LabelIssues,
    list_exclusions,
    write_sheets,
    write_tables,
)
from datamodules.audit.audit import audit
from datamodules.audit.duplicates import Resemblance
from datamodules.audit.summary import summary
from datamodules.sources import Index, Item
from datamodules.splits import Excluded, leave_out, read_list, write_list
from tests.datamodules.audit.conftest import scene

MOST = ("corrupt", "leakage", "conflicts")


@pytest.fixture
def index(make_index) -> Index:
    """A leak from train to val and one from val to test, a conflict in train, two bad files."""
    return make_index({
        "train/cat/1.png": scene(1), "train/cat/2.png": scene(2), "train/cat/3.png": scene(3),
        "train/dog/4.png": scene(4), "train/dog/3 again.png": scene(3),
        "train/dog/bad.png": b"no image", "train/dog/5.png": scene(5),
        "val/cat/1.jpg": scene(1).resize((96, 72)), "val/dog/6.png": scene(6),
        "val/dog/empty.png": b"", "val/cat/9.png": scene(9),
        "test/dog/6.png": scene(6), "test/cat/8.png": scene(8),
        "predict/cat/4.png": scene(4),
    })  # fmt: skip


def found_in(index: Index):
    unlabelled = [item._replace(label=-1) for item in index.splits["predict"]]
    known = dataclasses.replace(index, splits={**index.splits, "predict": unlabelled})
    return audit(known, image_size=(8, 8))


def test_each_reason(index):
    found = list_exclusions(found_in(index), MOST)
    copy, other = "val/cat/1.jpg", "test/dog/6.png"
    assert found.listed == [
        Excluded("train/cat/1.png", None, f"train copy of val {copy} (look alike), which stays"),
        Excluded("train/cat/3.png", None, "same pixels labelled cat and dog"),
        Excluded("train/dog/3 again.png", None, "same pixels labelled cat and dog"),
        Excluded("train/dog/bad.png", None, "corrupt: not an image: it begins with b'no image'"),
        Excluded("val/dog/6.png", None, f"val copy of test {other} (same bytes), which stays"),
        Excluded("val/dog/empty.png", None, "corrupt: the file is empty"),
    ]  # fmt: skip
    assert found.counts == {"corrupt": 2, "leakage": 2, "conflicts": 2}
    assert [one.path for one in list_exclusions(found_in(index), ["corrupt"]).listed] == [
        "train/dog/bad.png",
        "val/dog/empty.png",
    ]


def test_afterwards_there_is_nothing_to_list(index, tmp_path):
    write_list(tmp_path / "list.csv", list_exclusions(found_in(index), MOST).listed)
    cured = leave_out(index, tmp_path / "list.csv")
    assert [out.count for out in cured.left_out] == [6]
    assert {name: len(items) for name, items in cured.splits.items()} == {
        "train": 3, "val": 2, "test": 2, "predict": 1,
    }  # fmt: skip
    again = found_in(cured)
    assert list_exclusions(again, MOST).listed == [] and again.bad == []
    leaks = [g for g in again.duplicates["look alike"] if g.across_splits]
    assert [len(group.members) for group in leaks] == [2], "an unlabelled image leaks nothing"


def test_an_image_is_listed_once_with_all_reasons(make_index):
    index = make_index({"train/cat/1.png": scene(1), "val/dog/1.png": scene(1)})
    found = list_exclusions(audit(index, image_size=(8, 8)), MOST)
    assert [one.path for one in found.listed] == ["train/cat/1.png", "val/dog/1.png"]
    assert found.listed[0].reason == (
        "train copy of val val/dog/1.png (same bytes), which stays; "
        "same pixels labelled cat and dog"
    )


def test_pairs_and_no_chains(make_index):
    """A group joins what resembles a third; only what is itself a copy is listed."""
    first, last = (np.asarray(scene(n), float) for n in (1, 2))
    steps = [first + (last - first) * part for part in np.linspace(0, 1, 31)]
    *before, end = [Image.fromarray(step.round().astype(np.uint8)) for step in steps]
    files = {f"train/cat/{n:02d}.png": picture for n, picture in enumerate(before)}
    found = audit(make_index({**files, "val/cat/30.png": end}), image_size=(8, 8), distance=8)
    (group,) = found.duplicates["look alike"]
    assert len(group.members) == 31
    listed = [one.path for one in list_exclusions(found, MOST).listed]
    assert "train/cat/29.png" in listed and "train/cat/00.png" not in listed


def test_small_pictures_are_copies_only_in_their_details(make_index):
    """At 28 x 28 pixels any two shirts look alike."""
    rng = np.random.default_rng(0)
    rough = np.asarray(scene(1).resize((28, 28)), float)
    first, second = (
        Image.fromarray((rough + rng.normal(0, 20, rough.shape)).clip(0, 255).astype(np.uint8))
        for _ in range(2)
    )
    files = {"train/a/1.png": first, "train/a/2.png": second, "val/a/3.png": second}
    found = audit(make_index(files), image_size=(8, 8), distance=64)
    assert [one.path for one in list_exclusions(found, MOST).listed] == ["train/a/2.png"]
    resemblance = Resemblance(found.pictures, distance=64)
    assert resemblance.copies(0, [1, 2]) == [] and resemblance.copies(1, [0, 2]) == [2]


def test_boxes(make_index):
    index = make_index({"train/a/1.png": scene(1), "val/b/2.png": scene(1)})
    boxed = {
        split: [i._replace(box=(n, n, n + 40, n + 60), label=n % 2) for n in (0, 30) for i in items]
        for split, items in index.splits.items()
    }
    found = list_exclusions(audit(Index(("a", "b"), boxed), image_size=(8, 8)), ["leakage"])
    assert [(one.path, one.box) for one in found.listed] == [
        ("train/a/1.png", (0, 0, 40, 60)),
        ("train/a/1.png", (30, 30, 70, 90)),
    ]


def _with_labels(index: Index):
    found = found_in(index)
    issue = LabelIssue(index.splits["train"][1], 1, 0.0123, 0.91)
    return dataclasses.replace(found, labels=LabelIssues([issue], 9, 0.875, ("Of one run.",)))


def test_labels(index, tmp_path):
    found = _with_labels(index)
    listed = list_exclusions(found, ["labels"]).listed
    assert listed == [Excluded("train/cat/2.png", None, "likely wrong label: seen as dog (0.91)")]
    write_tables(found, tmp_path)
    assert (tmp_path / "labels.csv").read_text().splitlines() == [
        "rank,path,box,split,given,suggested,self_confidence,suggested_confidence",
        "1,train/cat/2.png,,train,cat,dog,0.0123,0.9100",
    ]
    assert [one.path for one in read_list(tmp_path / "labels.csv")] == ["train/cat/2.png"]
    write_sheets(found, tmp_path)
    assert (tmp_path / "labels.png").stat().st_size > 2000
    said = _said(found)
    assert "likely wrong labels: 1 of 9 checked (accuracy of the predictions 0.875)" in said
    assert "  Of one run." in said and "│    1 │ train/cat/2.png │ train │ cat   │ dog " in said


def test_a_name_that_is_not_utf8(make_index, tmp_path):
    index = make_index({"train/cat/1.png": scene(1), "train/dog/2.png": scene(2)})
    odd = "train/cat/caf\udce9.png"
    folder = tmp_path / "photos"
    (folder / "train/cat/1.png").rename(folder / odd)
    items = [Item(str(folder / odd), 0, None, odd), index.splits["train"][1]]
    bad = Item(str(folder / "train/cat/\udcff.png"), 0, None, "train/cat/\udcff.png")
    found = audit(Index(("cat", "dog"), {"train": [*items, bad]}), image_size=(8, 8))
    issue = LabelIssue(items[0], 1, 0.1, 0.9)
    found = dataclasses.replace(found, labels=LabelIssues([issue], 2, 0.5))
    said = _said(found)
    said.encode()
    assert r"smallest picture: 128 x 96, train cat/caf\xe9.png" in said
    assert r"  train cat/\xff.png: there is no such file" in said
    write_tables(found, tmp_path / "out")
    write_sheets(found, tmp_path / "out")
    listed = list_exclusions(found, ["corrupt", "labels"]).listed
    assert [one.path for one in listed] == [odd, bad.group]
    write_list(tmp_path / "list.csv", listed)
    assert read_list(tmp_path / "list.csv") == listed
    rows = read_list(tmp_path / "out" / "corrupt.csv")
    assert [one.path for one in rows] == [bad.path], "a table of the audit is a list as well"


def _said(found) -> str:
    console = Console(width=140, record=True)
    for text in summary(found):
        console.print(text, markup=False, highlight=False, soft_wrap=isinstance(text, str))
    return console.export_text()
