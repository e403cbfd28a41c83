"""Folders as people bring them: `what_people_bring/layouts.csv`, each row a test.

An `input` is a folder of `tests/fixtures/cases/layouts.py`, or a drawing of one: parts separated
by blanks, `{a,b}` standing for each; `cat*3` is three images in `cat/`, `cat/x.txt=text` a file of
some kind, `cat/more->other` a link, `cat/` an empty folder. Settings follow a bar.

What is `right` is the images of each class by split, then what was left out and the words of notes
after bars; or the words of the refusal.
"""

import csv
import io
import os
import re
from collections import Counter
from itertools import product
from pathlib import Path

import pytest
from PIL import Image

from datamodules.errors import DataError, shown
from datamodules.sources.image_folder import ImageFolder

TABLE = Path(__file__).parents[1] / "what_people_bring" / "layouts.csv"
ROWS = list(csv.DictReader(io.StringIO(TABLE.read_text(encoding="utf-8"))))


def _drawn(text: str) -> list[str]:
    """The words of a drawing, braces spelled out."""
    words = []
    for word in re.findall(r"(?:\{[^}]*\}|\S)+", text):
        parts = [part.split(",") for part in re.split(r"[{}]", word)]
        odd = [options if n % 2 else [",".join(options)] for n, options in enumerate(parts)]
        words += ["".join(choice) for choice in product(*odd)]
    return words


def content(kind: str) -> bytes:
    """The bytes of a file of some kind."""
    if kind in ("text", "heif"):
        return {"text": b"not a picture\n", "heif": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"}[kind]
    file = io.BytesIO()
    Image.new("RGB", (8, 6), (200, 30, 60)).save(file, kind)
    return file.getvalue()


def draw(root: Path, text: str) -> None:
    """Lays out a folder as a drawing says."""
    for word in _drawn(text):
        name, _, rest = word.partition("=" if "=" in word else "->" if "->" in word else "*")
        path = root / name
        (path if word.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if "=" in word:
            path.write_bytes(content(rest))
        elif "->" in word:
            path.symlink_to(root / rest)
        elif "*" in word:
            path.mkdir(exist_ok=True)
            for number in range(int(rest)):
                (path / f"{number:03d}.jpg").touch()
        elif not word.endswith("/"):
            path.touch()


def told(root: Path, **settings) -> str:
    """What a source finds, as the table says it."""
    try:
        index = ImageFolder(root=str(root), **settings).read()
    except DataError as error:
        return f"refused: {error}"
    parts = []
    for split, items in index.splits.items():
        names = [*index.class_names, "unknown"]  # -1 is the last
        found = Counter(names[item.label] for item in items)
        parts.append(f"{split} " + ", ".join(f"{name} {found[name]}" for name in sorted(found)))
    left_out = ", ".join(f"{one.count} {one.reason}" for one in index.left_out)
    lines = ["; ".join(parts), *([f"left out {left_out}"] if left_out else [])]
    return shown(" | ".join([*lines, *(f"read as {note}" for note in index.notes)]))


@pytest.mark.parametrize("row", ROWS, ids=[f"{n:03d}" for n, _ in enumerate(ROWS, start=2)])
def test_layouts(row, cases, tmp_path):
    drawing, *settings = row["input"].split(" | ")
    root = tmp_path / "photos"
    if drawing.startswith("case "):
        root = cases("layouts") / drawing.removeprefix("case ")
    else:
        root.mkdir()
        draw(root, drawing)
    given = {}
    for setting in settings:
        key, _, value = setting.partition("=")
        given[key] = value.split(",")
    if "classes" in given:
        (tmp_path / "classes.txt").write_text("\n".join(given["classes"]))
        given["classes"] = str(tmp_path / "classes.txt")
    found = told(root, **given)
    right, *notes = row["right"].split(" | read as ")
    plain, *found_notes = found.split(" | read as ")
    if right.startswith("refused: "):
        for words in right.removeprefix("refused: ").split(" ... "):
            assert words in found, row["why"]
        assert found.startswith("refused: ") and str(root) in found
        assert found.count("\n") == 0
        return
    assert plain == right, row["why"]
    assert len(found_notes) == len(notes), found_notes
    for words, note in zip(notes, found_notes, strict=True):
        assert words in note


def test_every_generated_folder_has_a_row(cases):
    rows = {row["input"].removeprefix("case ") for row in ROWS}
    assert {folder.name for folder in cases("layouts").iterdir()} <= rows


def test_items_are_named_by_their_paths(cases):
    root = cases("layouts") / "l31_bytes"
    items = ImageFolder(root=str(root)).read().splits["unsplit"]
    assert sum(os.fsencode(item.group) == b"cat/caf\xe9.jpg" for item in items) == 1
    assert all(item.path == f"{root}/{item.group}" for item in items)
    assert all(Path(item.path).is_file() for item in items)
