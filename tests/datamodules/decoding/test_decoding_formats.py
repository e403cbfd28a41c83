"""Image files as people bring them: `what_people_bring/formats.csv`, each row a test.

An `input` is a file of `tests/fixtures/cases/formats.py`, or one of `kin.py`. What is `right` is
one of the pictures below, that all its pixels or their mean must be, then the bits in use that are
found where samples have more than 8, and what is said of the file; or the words of the refusal. The
pictures are arrays made by hand; files that another decoder reads as well are compared with it.
"""

import csv
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from datamodules.decoding.decoding import decode_image, read_crops
from datamodules.decoding.notices import METADATA, NO_END
from datamodules.errors import DataError
from tests.datamodules.decoding import kin
from tests.datamodules.decoding.kin import BLACK_WHITE, CLEAR, GRAY, PICTURE

TABLE = Path(__file__).parents[1] / "what_people_bring" / "formats.csv"
with TABLE.open(encoding="utf-8", newline="") as file:
    ROWS = list(csv.DictReader(file))

PICTURES = {
    "picture": PICTURE,
    "gray": GRAY,
    "black and white": BLACK_WHITE * 255,
    "gray of 4 bits": (GRAY >> 4) * 17,
    "gray of 2 bits": GRAY // 85 * 85,
    "gray of an eighth": GRAY >> 3,
    "picture of 5 bits": (PICTURE >> 3) * 255.0 / 31,
    "white": np.full_like(GRAY, 255),
    "picture with a black corner": np.where(CLEAR[..., None], 0, PICTURE),
    "square": PICTURE[:, :48],
}
RIGHT = re.compile(
    r"(?P<picture>[a-z0-9 ]+?) (?P<how>exactly|within \d)(, (?P<bits>\d+) bits)?(; (?P<said>.+))?"
)
SAID = {"no end marker": NO_END, "without metadata": METADATA}
LIKE_OPENCV = (".jpg", ".webp", ".avif")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of odd EXIF


@pytest.fixture
def path_of(cases, tmp_path):
    def find(name: str) -> Path:
        return kin.written(name, tmp_path) if name in kin.FILES else cases("formats") / name

    return find


@pytest.mark.parametrize("row", ROWS, ids=[row["input"] for row in ROWS])
def test_what_people_bring(row, path_of):
    if row["input"].endswith(".heic"):
        pytest.importorskip("pillow_heif", reason="needs the extra [heic]")
    path = path_of(row["input"])
    if row["right"].startswith("refused: "):
        with pytest.raises(DataError) as caught:
            decode_image(str(path))
        assert str(caught.value).startswith(f"The image {path} cannot be decoded (")
        assert row["right"].removeprefix("refused: ") in str(caught.value)
        return
    found = read_crops(str(path), [None], size=(8, 8), resize_mode="stretch")
    pixels = np.asarray(decode_image(str(path), levels=found.levels and found.levels.rule))
    if row["right"].startswith("any "):
        width, height = map(int, row["right"].removeprefix("any ").split(" x "))
        assert pixels.shape == (height, width, 3)
        return
    right = RIGHT.fullmatch(row["right"])
    assert right is not None
    expected = PICTURES[right["picture"]]
    expected = np.dstack([expected] * 3) if expected.ndim == 2 else expected
    assert pixels.shape == expected.shape
    difference = np.abs(pixels.astype(float) - expected)
    limit = 0 if right["how"] == "exactly" else int(right["how"].split()[1])
    assert (difference.max() if limit == 0 else difference.mean()) <= limit
    assert str(found.levels.rule if found.levels else None) == str(right["bits"])
    assert found.notices == ((SAID[right["said"]],) if right["said"] else ())


def test_every_file_has_a_row(cases):
    names = [row["input"] for row in ROWS]
    assert len(names) == len(set(names)) and all(row["why"] for row in ROWS)
    assert set(names) == {path.name for path in cases("formats").iterdir()} | kin.FILES.keys()


@pytest.mark.parametrize(
    "name",
    [r["input"] for r in ROWS if r["right"].startswith("picture within 2")
     and r["input"].endswith(LIKE_OPENCV) and r["input"] in kin.FILES],
)  # fmt: skip
def test_lossy_files_are_as_opencv_decodes_them(name, path_of):
    path = path_of(name)
    theirs = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    assert np.abs(np.asarray(decode_image(str(path))).astype(int) - theirs).mean() <= 2
