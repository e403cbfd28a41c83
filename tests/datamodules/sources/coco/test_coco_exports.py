"""What people bring as COCO detection sets: `what_people_bring/coco.csv`, a test for each row.

`input` is a folder that tests/fixtures/cases/coco.py or kin.py writes, and settings after
semicolons. `right` is one of

- `train: can 8 red, cup 8 blue | val: ...`: boxes of each class by split, and the mean color in the
  middle of their crops where that matters; after `; from:` the files of the splits, after
  `; said:` and `; left out:` words of all notes and of all that was left out, in order;
- `refused: words of the sentence`, by the check;
- `unreadable: words`, of every image when it is decoded.
"""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from datamodules.decoding import decode_crops
from datamodules.errors import DataError
from datamodules.sources.coco import Coco
from datamodules.splits import Splits
from tests.conftest import ROOT
from tests.datamodules.sources.coco.kin import KIN, write_kin

TABLE = Path(__file__).parents[2] / "what_people_bring" / "coco.csv"
ROWS = list(csv.DictReader(TABLE.open(encoding="utf-8")))
COLORS = {"red": (200, 40, 40), "blue": (40, 40, 200)}


def _source(row, cases, tmp_path) -> tuple[Path, Coco]:
    name, *words = (part.strip() for part in row["input"].split(";"))
    folder = write_kin(name, tmp_path / name) if name in KIN else cases("coco") / name
    settings = {key: yaml.safe_load(value) for key, _, value in (w.partition("=") for w in words)}
    return folder, Coco(root=str(folder), **settings)


def _colors(items) -> np.ndarray:
    """The mean color in the middle of each crop, N x 3."""
    found = []
    for item in items:
        crops = decode_crops(
            item.path, [item.box], size=(16, 16), resize_mode="stretch", annotated=item.size
        )
        found.append(crops[0, 4:12, 4:12].mean((0, 1)))
    return np.array(found)


def _require_boxes(index, right: str) -> None:
    expected = dict(re.split(r":\s*", part.strip(), maxsplit=1) for part in right.split(" | "))
    assert list(index.splits) == list(expected)
    for split, classes in expected.items():
        for part in classes.split(","):
            name, count, color = re.fullmatch(r"\s*(.+?) (\d+)( \w+)?\s*", part).groups()
            label = index.class_names.index(name)
            items = [item for item in index.splits[split] if item.label == label]
            assert len(items) == int(count), (split, name)
            if color:
                assert np.abs(_colors(items) - COLORS[color.strip()]).max() < 6, (split, name)
        found = {index.class_names[item.label] for item in index.splits[split]}
        assert len(found) == len(classes.split(","))


def _require_words(found: list[str], expected: str) -> None:
    """The sentences hold the expected words, in order; all of them are expected."""
    wanted = [words.strip() for words in expected.split("+")] if expected else []
    assert len(found) == len(wanted), found
    for sentence, words in zip(found, wanted, strict=True):
        assert words in sentence


@pytest.mark.parametrize("row", ROWS, ids=[row["input"] for row in ROWS])
def test_an_export(row, cases, tmp_path):
    folder, source = _source(row, cases, tmp_path)
    kind, _, words = row["right"].partition(":")
    if kind == "refused":
        with pytest.raises(DataError) as caught:
            source.check()
        sentence = str(caught.value).replace(str(folder), "ROOT")
        assert words.strip() in sentence and "\n" not in sentence
        return
    source.check()
    index = source.read()
    if kind == "unreadable":
        for item in index.splits["unsplit"]:
            with pytest.raises(DataError, match=re.escape(words.strip())):
                _colors([item])
        return
    boxes, *others = re.split(r"; (?=from:|said:|left out:)", row["right"])
    told = dict(re.split(r":\s*", part, maxsplit=1) for part in others)
    _require_boxes(index, boxes)
    assert ", ".join(index.sources.values()) == told.get("from", "")
    _require_words(list(index.notes), told.get("said", ""))
    _require_words([f"{o.count} {o.reason}" for o in index.left_out], told.get("left out", ""))


def test_every_input_has_a_row():
    source = (ROOT / "tests" / "fixtures" / "cases" / "coco.py").read_text()
    theirs = set(re.findall(r"\bc\d\d_\w+", source))
    inputs = {row["input"].split(";")[0] for row in ROWS}
    assert len(theirs) == 49 and inputs == theirs | KIN.keys()
    assert all(row["why"] for row in ROWS)


def test_ready_splits_stay_as_they_are_file_by_file(cases):
    """Roboflow's export: nothing of train/ is shared out."""
    folder = cases("coco") / "c58_roboflow_splits"
    index = Splits().apply(Coco(root=str(folder)).read())
    for split, name in (("train", "train"), ("val", "valid"), ("test", "test")):
        files = {path.relative_to(folder).as_posix() for path in (folder / name).glob("*.jpg")}
        assert {item.group for item in index.splits[split]} == files
        assert {item.path for item in index.splits[split]} == {f"{folder}/{file}" for file in files}


def test_upright_sizes_of_turned_photographs(tmp_path):
    """What decoding compares the file with."""
    source = Coco(root=str(write_kin("k13_raw_by_size", tmp_path / "a")))
    assert {item.size for item in source.read().splits["unsplit"]} == {(200, 150)}


@pytest.mark.parametrize("name", ["boxes", "box_format", "missing"])
def test_settings_that_do_not_exist(name):
    with pytest.raises(DataError, match=rf"data.source.{name}=other does not exist; there are "):
        Coco(root=".", **{name: "other"})
