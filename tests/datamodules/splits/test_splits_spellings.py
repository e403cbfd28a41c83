"""Split files as people write them: each row of the table is the text of one, and what it means."""

import csv
import fnmatch
from pathlib import Path

import pytest

from datamodules.errors import DataError
from datamodules.sources.source import Index, Item
from datamodules.splits.splits import Splits

TABLE = Path(__file__).parents[1] / "what_people_bring" / "splits.csv"
IMAGES = ("cat/a1.jpg", "cat/a2.jpg", "dog/b1.JPG", "dog/b2.jpg")
SAME = ("cat/1.jpg", "cat/2.jpg", "dog/1.jpg", "dog/2.jpg", "dog/3.jpg")
ENCODINGS = {"bom": "utf-8-sig", "utf-16": "utf-16"}


def rows():
    with TABLE.open(newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            yield pytest.param(row["input"], row["right"], id=f"{number} {row['why']}")


@pytest.mark.parametrize(("text", "right"), rows())
def test_split_files_as_people_write_them(tmp_path, text, right):
    kind, _, rest = text.encode().decode("unicode_escape").partition(":")
    if kind not in (*ENCODINGS, "same"):
        kind, rest = "", text.encode().decode("unicode_escape")
    root = tmp_path / "data" / "photos"
    file = tmp_path / "splits.csv"
    file.write_bytes(rest.replace("{root}", str(root)).encode(ENCODINGS.get(kind, "utf-8")))
    before = file.read_bytes()
    images = SAME if kind == "same" else IMAGES
    items = [Item(str(root / name), "cd".index(name[0]), None, name) for name in images]
    index = Index(("cat", "dog"), {"unsplit": items})
    splits = Splits(file=file, memory=tmp_path / "memory.csv", root=str(root))
    if right.startswith("refused: "):
        with pytest.raises(DataError) as refusal:
            splits.apply(index, write=True)
        assert fnmatch.fnmatchcase(str(refusal.value), f"*{right.removeprefix('refused: ')}*")
    else:
        found = splits.apply(index, write=True)
        shown = [f"{name} {' '.join(map(_stem, of))}" for name, of in found.splits.items()]
        shown += [f"left out {Path(out.first).stem}" for out in found.left_out]
        assert "; ".join(shown) == right
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["splits.csv"]


def _stem(item: Item) -> str:
    return Path(item.group).stem
