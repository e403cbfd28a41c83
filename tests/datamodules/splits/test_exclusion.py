"""`data.exclude`: what a list leaves out, however it is written, and which lists are refused."""

import csv
import fnmatch
import re
from pathlib import Path

import pytest

from datamodules.errors import DataError
from datamodules.sources import Index, Item, LeftOut
from datamodules.splits import (
    Excluded,
    Splits,
    keep_list,
    leave_out,
    list_digest,
    read_list,
    write_list,
)
from datamodules.splits.exclusion_list import is_untouched

TABLE = Path(__file__).parents[1] / "what_people_bring" / "exclude.csv"
NAMES = ("#1", "cat", "dog")
GROUPS = [f"{name}/{n:03d}.jpg" for name in NAMES[1:] for n in range(4)]
OTHERS = ["#1/a,b;c.jpg", "#1/000 1.jpg", "dog/only.jpg"]
ODD = "cat/a,b; caf\udce9 #1.JPG"  # with a byte that is not UTF-8
ENCODINGS = {"bom": "utf-8-sig", "utf-16": "utf-16"}


def rows():
    with TABLE.open(newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            yield pytest.param(row["input"], row["right"], id=f"{number} {row['why']}")


def index(groups=(*GROUPS, *OTHERS), **more) -> Index:
    items = [Item(f"/data/photos/{g}", NAMES.index(g.split("/")[0]), None, g) for g in groups]
    return Index(NAMES, {"unsplit": items, **more})


def groups_of(found: Index) -> set[str]:
    return {item.group for members in found.splits.values() for item in members}


@pytest.fixture
def write(tmp_path):
    def written(text: str, *, encoding="utf-8"):
        path = tmp_path / "list.csv"
        path.write_bytes(text.encode(encoding, "surrogateescape"))
        return path

    return written


@pytest.mark.parametrize(("text", "right"), rows())
def test_lists_as_people_write_them(tmp_path, text, right):
    text = text.encode().decode("unicode_escape")
    kind, _, rest = text.partition(":")
    kind, rest = (kind, rest) if kind in (*ENCODINGS, "nul") else ("", text)
    path = tmp_path / "list.csv"
    rest = "\0" if kind == "nul" else rest.replace("{root}", "/data/photos")
    path.write_bytes(rest.encode(ENCODINGS.get(kind, "utf-8")))
    if right.startswith("refused: "):
        with pytest.raises(DataError) as refusal:
            leave_out(index(), path)
        assert fnmatch.fnmatchcase(str(refusal.value), f"*{right.removeprefix('refused: ')}*")
        return
    found = leave_out(index(), path)
    gone = [group for group in (*GROUPS, *OTHERS) if group not in groups_of(found)]
    told = [LeftOut("listed in list.csv", len(gone), gone[0])] if gone else []
    assert list(found.left_out) == told
    notes = [
        re.sub(r"(\d+) of the (\d+) images .*", r"; \1 of \2 not there", n) for n in found.notes
    ]
    assert " ".join(gone or ["nothing"]) + "".join(notes) == right


def test_bytes_that_are_no_text(write):
    for text in (f"{ODD}\n", f'path,reason\n"{ODD}",x\n'):
        assert groups_of(leave_out(index([*GROUPS, ODD]), write(text))) == {*GROUPS}


def test_nothing_listed_leaves_the_index_as_it_is():
    assert leave_out(index(), None) == index()


def test_boxes_of_an_image(write):
    boxes = [(0, 0, 9, 9), (5, 5, 20, 20), (-4, 0, 8, 8)]
    items = [Item("/d/a.jpg", n % 2 + 1, box, "a.jpg") for n, box in enumerate(boxes)]
    others = [Item("/d/b.jpg", n % 2 + 1, box, "b.jpg") for n, box in enumerate(boxes)]
    whole = Index(NAMES, {"train": [*items, *others]})
    rows = 'path,box\na.jpg,"[5, 5, 20, 20]"\na.jpg,-4 0 8 8\nb.jpg,1 1 2 2\n'
    found = leave_out(whole, write(rows))
    assert found.splits["train"] == [items[0], *others]
    assert found.notes[0].startswith("1 of the 3 images listed in list.csv is not there")
    found = leave_out(whole, write("path,box\na.jpg,\n"))
    assert found.splits["train"] == others and found.left_out[0].count == 3


@pytest.mark.parametrize("file", ["nowhere.csv", "/", 3, ["a.jpg"], True])
def test_what_is_no_file(file):
    with pytest.raises(DataError, match="data.exclude=.* is no file: give a CSV with a column"):
        leave_out(index(), file)


def test_a_split_must_keep_an_image(write):
    val = [Item("/data/photos/val/v.jpg", 0, None, "val/v.jpg")]
    with pytest.raises(DataError, match="leaves no image of the val split"):
        leave_out(index(val=val), write("val/v.jpg\n"))


def test_before_anything_is_shared_out(write):
    """What is left out takes no place in a split, and the others are shared out as without it."""
    split = Splits(exclude=write("cat/001.jpg\ndog/003.jpg\n")).apply(index(GROUPS))
    assert sorted(map(len, split.splits.values())) == [2, 2, 2]
    assert groups_of(split) == {*GROUPS} - {"cat/001.jpg", "dog/003.jpg"}
    without = [group for group in GROUPS if group not in ("cat/001.jpg", "dog/003.jpg")]
    assert split.splits == Splits().apply(index(without)).splits


def test_the_others_stay_in_their_splits(tmp_path, write):
    before = Splits(file=tmp_path / "s.csv").apply(index(GROUPS), write=True)
    gone = before.splits["val"][0].group
    after = Splits(file=tmp_path / "s.csv", exclude=write(f"{gone}\n")).apply(index(GROUPS))
    assert after.splits == {
        name: [item for item in members if item.group != gone]
        for name, members in before.splits.items()
    }


def test_written_lists_are_read_again(tmp_path):
    listed = [Excluded(ODD, None, 'x "y", z'), Excluded("a\nb.jpg", (-1, 2, 3, 4), "tiny")]
    path = tmp_path / "made" / "list.csv"
    write_list(path, listed)
    assert read_list(path) == listed and is_untouched(path)
    write_list(path, listed[:1])
    assert read_list(path) == listed[:1]
    path.write_text(
        path.read_text(errors="surrogateescape").replace("x", "y"), errors="surrogateescape"
    )
    for strange in (path, tmp_path / "mine.csv"):
        before = strange.write_text("mine") if strange != path else strange.read_bytes()
        with pytest.raises(DataError, match="exists, and no audit wrote it or it was edited since"):
            write_list(strange, listed)
        assert strange.read_bytes() == (before if strange == path else b"mine")


def test_a_run_keeps_its_list(tmp_path, write):
    listed = write("\ufeffpath,reason\ncat/001.jpg,x\n")
    kept = tmp_path / "run" / "exclude.csv"
    keep_list(listed, kept)
    assert kept.read_text().splitlines()[0] == f"# Left out of this run: a copy of {listed}"
    assert read_list(kept) == read_list(listed) and list_digest(kept) == list_digest(listed)
    again = tmp_path / "next" / "exclude.csv"
    keep_list(kept, again)
    assert again.read_bytes() == kept.read_bytes()
    other = leave_out(index(GROUPS[2:]), kept)  # deleted meanwhile: said, not refused
    assert groups_of(other) == {*GROUPS[2:]} and "is not there" in other.notes[0]
    written = tmp_path / "audit.csv"
    write_list(written, [Excluded("cat/001.jpg")])
    keep_list(written, again)
    assert read_list(again) == [Excluded("cat/001.jpg")]


def test_a_digest_is_of_the_images(write):
    first = list_digest(write("path,reason\na.jpg,x\nb.jpg,y\n"))
    assert list_digest(write("b.jpg\na.jpg\n")) == first
    assert list_digest(write("path,box\na.jpg,1 2 3 4\nb.jpg,\n")) != first
