"""Tables as people write them: `what_people_bring/tables.csv` says what is right for each."""

import csv
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from datamodules.errors import DataError
from datamodules.sources.tables.table import Table
from tests.conftest import ROOT

FILES = (
    *("photos/cat/1.jpg", "photos/cat/2.jpg", "photos/dog/3.png", "photos/dog/4.JPG"),
    *(f"images/00{number:02d}.jpg" for number in range(1, 13)),
    *("train/7.jpg", "test/7.jpg", "test/8.jpg", "odd, (1) #.jpg", "ü.jpg"),
)
BROUGHT = ROOT / "tests" / "datamodules" / "what_people_bring" / "tables.csv"
with BROUGHT.open(newline="", encoding="utf-8") as file:
    ROWS = [tuple(row.values()) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """The images that the tables list."""
    root = tmp_path_factory.mktemp("tables")
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(root / name)
    return root


@pytest.fixture
def put(images, tmp_path):
    """A root with the images and tables of these texts; gives the root."""

    def write(**texts):
        root = tmp_path / "root"
        root.mkdir(exist_ok=True)
        for name in FILES:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(images / name, root / name)
        for name, text in texts.items():
            (root / f"{name}.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        return root

    return write


def counts(index):
    """`train cat=2 dog=1`, a line for each split."""
    lines = []
    for split in ("unsplit", "train", "val", "test", "predict"):
        items = index.splits.get(split, [])
        found = Counter(item.label for item in items)
        names = [f"{name}={found[n]}" for n, name in enumerate(index.class_names) if n in found]
        if items:
            lines.append(" ".join([split, *(names or [str(len(items))])]))
    return lines


def left_out(index):
    return [f"left out: {left.count} {left.reason}" for left in index.left_out]


@pytest.mark.parametrize(("text", "right", "why"), ROWS, ids=[row[2] for row in ROWS])
def test_what_people_bring(images, text, right, why):
    table = images / "table.csv"
    table.write_text(
        text.replace("\\n", "\n").replace("\\r", "\r").replace("ROOT", str(images)), newline=""
    )
    right = right.replace("ROOT", str(images))
    source = Table(root=str(images), table="table.csv")
    if right.startswith("refused: "):
        with pytest.raises(DataError) as error:
            source.check()
        said = str(error.value)
        assert right.removeprefix("refused: ") in said and "\n" not in said
        return
    index = source.read()
    wanted = right.split(" | ")
    for part in [part for part in wanted if part.startswith(("note: ", "left out: ", "column "))]:
        wanted.remove(part)
        kind, _, value = part.partition(": ")
        if kind == "note":
            assert any(value in note for note in index.notes), index.notes
        elif kind == "left out":
            assert any(found.startswith(part) for found in left_out(index)), index.left_out
        else:
            column = index.columns[kind.removeprefix("column ")]
            assert [column[group] for group in sorted(column)] == value.split()
    assert counts(index) == wanted
    assert len(index.left_out) == right.count("left out: ")
    for split, items in index.splits.items():
        for item in items:
            assert Path(item.path).is_file() and not Path(item.group).is_absolute()
            assert (item.label == -1) == (split == "predict")


CATS = "path,label\nphotos/cat/1.jpg,cat\nphotos/dog/3.png,dog\n"
DOGS = "path,label\nphotos/dog/4.JPG,dog\nphotos/cat/2.jpg,cat\n"


@pytest.mark.parametrize(
    ("texts", "right"),
    [
        ({"any_name": CATS}, ["unsplit cat=1 dog=1"]),
        ({"train": CATS, "val": DOGS}, ["train cat=1 dog=1", "val cat=1 dog=1"]),
        ({"Train": CATS, "Valid": DOGS}, ["train cat=1 dog=1", "val cat=1 dog=1"]),
        ({"labels_train": CATS, "labels_test": DOGS}, ["unsplit cat=1 dog=1", "test cat=1 dog=1"]),
        # A competition: a test without classes, with columns of its own, and a dummy.
        (
            {
                "train": "id,kind\n0001,cat\n0002,dog\n",
                "test": "id,width,height\n0003,4,4\n0004,4,4\n",
                "sample_submission": "id,kind\n0003,cat\n0004,cat\n",
            },
            ["unsplit cat=1 dog=1", "predict 2", "left out: 1 tables of other names"],
        ),
        ({"labels": CATS, "sample_submission": DOGS},
         ["unsplit cat=1 dog=1", "left out: 1 tables of other names"]),
        ({"train": CATS, "notes": DOGS},
         ["unsplit cat=1 dog=1", "left out: 1 tables of other names"]),
        ({"train/_classes": "filename,cat,dog\n7.jpg,1,0\n", "test/_classes":
          "filename,cat,dog\n7.jpg,0,1\n8.jpg,1,0\n"}, ["unsplit cat=1", "test cat=1 dog=1"]),
    ],
)  # fmt: skip
def test_tables_are_found(put, texts, right):
    index = Table(root=str(put(**texts))).read()
    assert counts(index) + left_out(index) == right


@pytest.mark.parametrize(
    ("texts", "settings", "said"),
    [
        ({"a": CATS, "b": DOGS}, {}, r"holds several tables \(a.csv, b.csv\): name the ones"),
        ({"train": CATS, "train_v2": DOGS}, {}, "holds several tables"),
        ({"labels": CATS, "test": DOGS}, {}, "holds several tables"),
        ({}, {}, r"holds no table \(.csv, .tsv\): give one that lists each image"),
        ({"a": CATS}, {"table": "b.csv"}, "b.csv does not exist: give data.source.table relative"),
        ({"a": CATS}, {"table": []}, r"data.source.table=\[\] names no table"),
        ({"a": CATS}, {"label_column": "kind"},
         "data.source.label_column=kind is no column of .*a.csv; there are path, label"),
        ({"a": CATS}, {"missing": "drop"}, "missing=drop does not exist; there are refuse, skip"),
        ({"a": b"PK\x03\x04rest"}, {}, "a.csv is no text: save it as a CSV file"),
        ({"a": b'path,label\n"a\x00b",c\n'}, {}, "a.csv is no text"),
        ({"a": b"path,label\nphotos/cat/1.jpg,a\nphotos/none.jpg,b\n"},
         {}, "1 of 2 listed images are not in .*data.source.missing=skip"),
    ],
)  # fmt: skip
def test_tables_that_are_refused(put, texts, settings, said):
    with pytest.raises(DataError, match=said) as error:
        Table(root=str(put(**texts)), **settings).check()
    assert "\n" not in str(error.value)


def test_a_table_as_the_root_and_a_root_that_is_absent(put):
    root = put(mine=CATS)
    assert counts(Table(root=str(root / "mine.csv")).read()) == ["unsplit cat=1 dog=1"]
    with pytest.raises(DataError, match=r"none does not exist: set data.root to the folder"):
        Table(root=str(root / "none")).check()


def test_columns_by_name_and_several_tables_by_name(put):
    root = put(
        a="path,label,dx\nphotos/cat/1.jpg,1,cat\n", b="path,label,dx\nimages/0001.jpg,2,x\n"
    )
    source = Table(root=str(root), table=["b.csv", "a.csv"], label_column="dx")
    assert counts(source.read()) == ["unsplit cat=1 x=1"]
    assert source.read().columns["label"] == {"photos/cat/1.jpg": "1", "images/0001.jpg": "2"}


def test_absent_images_can_be_skipped(put):
    root = put(a="path,label\nphotos/cat/1.jpg,cat\nphotos/x.jpg,cat\nphotos/dog/3.png,dog\n")
    index = Table(root=str(root), missing="skip").read()
    assert counts(index) == ["unsplit cat=1 dog=1"]
    assert index.left_out == (("listed images not there", 1, "photos/x.jpg"),)


def test_encodings_of_spreadsheets(put):
    texts = {name: "path,label\nü.jpg,Müll\nphotos/dog/3.png,dog\n".encode(encoding)
             for name, encoding in (("a", "cp1252"), ("b", "utf-16"))}  # fmt: skip
    root = put(**texts)
    for name in texts:
        assert Table(root=str(root), table=f"{name}.csv").check() == ("Müll", "dog")
    assert "read as cp1252" in Table(root=str(root), table="a.csv").read().notes[0]


def test_names_that_are_no_utf_8(put):
    root = put()
    Image.new("RGB", (4, 4)).save(root / os.fsdecode(b"caf\xe9.jpg"), "JPEG")
    put(a=b"path,label\ncaf\xe9.jpg,cat\nphotos/dog/3.png,dog\n")
    index = Table(root=str(root)).read()
    assert {os.fsencode(item.group) for item in index.splits["unsplit"]} == {
        b"caf\xe9.jpg",
        b"photos/dog/3.png",
    }


def test_ids_are_found_in_linked_folders(put, tmp_path):
    root = put(labels="id,label\n0001,cat\n0002,dog\n")
    (root / "images").rename(tmp_path / "far")
    (root / "images").symlink_to(tmp_path / "far")
    assert counts(Table(root=str(root)).read()) == ["unsplit cat=1 dog=1"]


def test_groups_stay_when_the_root_moves(put, tmp_path):
    root = put(labels=CATS)
    before = {item.group for item in Table(root=str(root)).read().splits["unsplit"]}
    root.rename(tmp_path / "elsewhere")
    after = Table(root=str(tmp_path / "elsewhere")).read().splits["unsplit"]
    assert {item.group for item in after} == before == {"photos/cat/1.jpg", "photos/dog/3.png"}


def test_the_order_of_rows_does_not_matter(put):
    lines = [f"images/00{n:02d}.jpg,{n % 3}" for n in range(1, 13)]
    root = put(a="\n".join(["path,label", *lines]), b="\n".join(["path,label", *lines[::-1]]))
    one, other = (Table(root=str(root), table=f"{name}.csv").read() for name in "ab")
    assert one.splits == other.splits
