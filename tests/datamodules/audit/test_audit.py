"""The audit as a whole: numbers, tables, pictures, and what cannot be audited."""

import csv

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from datamodules.audit.audit import audit
from datamodules.audit.sheets import write_sheets
from datamodules.audit.summary import summary
from datamodules.audit.tables import write_tables
from datamodules.errors import DataError
from datamodules.sources.source import Index, Item
from tests.datamodules.audit.conftest import scene


@pytest.fixture
def found(make_index):
    """Two classes with a conflict, a leak, a corrupt file and an odd picture."""
    index = make_index({
        "train/a b/1.png": scene(1), "train/a b/2.png": scene(2), "train/a b/3.png": scene(3),
        "train/[red]/1.png": scene(1), "train/[red]/flat.png": Image.new("RGB", (40, 80), "red"),
        "val/a b/2.png": scene(2).resize((64, 48)), "val/[red]/bad.png": b"no image",
        "val/[red]/4.png": scene(4, (50, 200)),
    })  # fmt: skip
    return audit(index, image_size=(64, 64))


def _read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_tables(found, tmp_path):
    write_tables(found, tmp_path)
    assert (tmp_path / "counts.csv").read_text() == (
        "class,train,val,total\n[red],2,2,4\na b,3,1,4\n"
    )
    sizes = {(row["split"], row["what"]): row for row in _read(tmp_path / "sizes.csv")}
    width = sizes["train", "width"]
    assert (width["smallest"], width["median"], width["largest"]) == ("40", "128", "128")
    assert sizes["val", "width / height"]["largest"] == "4.0"
    (bad,) = _read(tmp_path / "corrupt.csv")
    assert (bad["split"], bad["class"]) == ("val", "[red]")
    assert bad["reason"] == "not an image: it begins with b'no image'"
    assert [row["what"] for row in _read(tmp_path / "odd.csv")] == ["nearly of one colour"]
    assert len(_read(tmp_path / "pictures.csv")) == 7
    columns = ("group", "split", "class", "across_classes", "across_splits", "kind", "duplicate_of")
    rows = [tuple(row[c] for c in columns) for row in _read(tmp_path / "duplicates.csv")]
    assert rows == [
        ("1", "train", "a b", "yes", "no", "same bytes", "train/[red]/1.png"),
        ("1", "train", "[red]", "yes", "no", "same bytes", "train/a b/1.png"),
        ("2", "train", "a b", "no", "yes", "look alike", "val/a b/2.png"),
        ("2", "val", "a b", "no", "yes", "look alike", "train/a b/2.png"),
    ]


def test_summary(found):
    console = Console(width=140, record=True)
    for text in summary(found):
        console.print(text, markup=False, highlight=False, soft_wrap=isinstance(text, str))
    said = console.export_text()
    assert "smallest picture: 64 x 48, val val/a b/2.png" in said
    assert "largest picture: 128 x 96, train train/a b/1.png" in said
    table = [line.split("│") for line in said.splitlines() if line.startswith(("│ same", "│ look"))]
    assert [[int(n) for n in row[2:6]] for row in table] == [
        [1, 2, 1, 0],
        [1, 2, 1, 0],
        [2, 4, 1, 1],
    ]
    for line in (
        "label conflicts (groups across classes): 1",
        "  train a b (train/a b/1.png) = train [red] (train/[red]/1.png)",
        "leakage (groups across splits): 1",
        "  train a b (train/a b/2.png) = val a b (val/a b/2.png)",
        "corrupt files: 1",
        "  val val/[red]/bad.png: not an image: it begins with b'no image'",
        "odd pictures: 1",
        "  train train/[red]/flat.png: nearly of one colour",
    ):
        assert line in said.splitlines()


def test_pictures(found, tmp_path):
    write_sheets(found, tmp_path)
    names = {path.name for path in tmp_path.glob("*.png")}
    assert names == {"class_00__red_.png", "class_01_a_b.png", "duplicates.png", "odd.png"}
    sheet = np.asarray(Image.open(tmp_path / "class_01_a_b.png"))
    assert sheet.shape[0] > 200 and sheet.std() > 20


def test_nothing_wrong(make_index, tmp_path):
    found = audit(
        make_index({"train/a/1.png": scene(1), "val/a/2.png": scene(2)}), image_size=(8, 8)
    )
    write_tables(found, tmp_path)
    write_sheets(found, tmp_path)
    assert [p.name for p in tmp_path.glob("*.png")] == ["class_00_a.png"]
    assert _read(tmp_path / "duplicates.csv") == _read(tmp_path / "corrupt.csv") == []


def test_unlabelled_items_are_counted(make_index):
    index = make_index({"train/a/1.png": scene(1), "predict/a/2.png": scene(2)})
    index.splits["predict"] = [item._replace(label=-1) for item in index.splits["predict"]]
    found = audit(index, image_size=(8, 8))
    assert found.counts == {"train": {"a": 1}, "predict": {"unlabelled": 1}}


def test_boxes_are_named(make_index):
    index = make_index({"train/a/1.png": scene(1), "train/a/2.png": scene(1)})
    boxed = [item._replace(box=(5, 5, 60, 60)) for item in index.splits["train"]]
    found = audit(Index(index.class_names, {"train": boxed}), image_size=(8, 8))
    assert found.name(boxed[0]) == "1.png [5, 5, 60, 60]"
    assert [group.members for group in found.duplicates["same bytes"]] == [(0, 1)]


def test_unusable(make_index, tmp_path):
    item = Item(str(tmp_path / "gone.png"), 0, None, "gone.png")
    with pytest.raises(DataError, match=r"None of the 1 .*gone.png: there is no such file"):
        audit(Index(("a",), {"train": [item]}), image_size=(8, 8))
    with pytest.raises(
        DataError, match=r"distance=65 is not allowed; give 0..64, the bits of a hash"
    ):
        audit(make_index({"train/a/1.png": scene(1)}), image_size=(8, 8), distance=65)
