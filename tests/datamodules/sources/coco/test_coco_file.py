"""Everything that can be wrong with an annotation file, with the sentence it gives."""

import copy
import json
import re

import pytest

from datamodules.errors import DataError
from datamodules.sources.coco.coco_file import CocoBox, CocoImage, read_coco

VALID = {
    "images": [
        {"id": 7, "file_name": "a/./0.png", "width": 100, "height": 80.0, "license": 3},
        {"id": "x", "file_name": "1.png", "width": 30, "height": 20},
    ],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 2, "bbox": [1, 2.5, 30, 40], "iscrowd": 1},
        {"image_id": "x", "category_id": 0, "bbox": [0, 0, 9, 9], "segmentation": [[1, 2, 3]]},
    ],
    "categories": [{"id": 0, "name": "can"}, {"id": 2, "name": "box", "supercategory": "thing"}],
}


@pytest.fixture
def refused(tmp_path):
    """Writes annotations (as text or as what is dumped); gives the sentence that refuses them."""

    def sentence(content) -> str:
        path = tmp_path / "annotations.json"
        text = content if isinstance(content, str | bytes) else json.dumps(content)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(DataError) as caught:
            read_coco(path)
        text = str(caught.value)
        assert "\n" not in text and text.encode()
        return text.replace(str(path), "FILE")

    return sentence


def _changed(place: str, literal: str) -> str:
    """The valid file as text, with raw JSON at a place such as "images.0.width"."""
    content = copy.deepcopy(VALID)
    *path, last = [int(part) if part.isdigit() else part for part in place.split(".")]
    entry = content
    for part in path:
        entry = entry[part]
    entry[last] = "@@"
    return json.dumps(content).replace('"@@"', literal)


def test_a_valid_file(tmp_path):
    path = tmp_path / "annotations.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(VALID).encode())  # editors add such a mark
    file = read_coco(path)
    assert file.images == [CocoImage(7, "a/0.png", 100, 80), CocoImage("x", "1.png", 30, 20)]
    assert file.boxes == [
        CocoBox(1, 7, 2, (1, 2.5, 30, 40), True),
        CocoBox(None, "x", 0, (0, 0, 9, 9), False),
    ]
    assert file.categories == {0: "can", 2: "box"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<html>", "Expecting value: line 1 column 1 (char 0)"),
        ("", "Expecting value: line 1 column 1 (char 0)"),
        ('{"images": [', "Expecting value: line 1 column 13 (char 12)"),
        (b"\xff\xfe\xfa", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        ("[" * 100_000, "maximum recursion depth exceeded while decoding a JSON array"),
        ("9" * 5000, "Exceeds the limit (4300 digits)"),
    ],
)
def test_not_json(refused, text, reason):
    assert refused(text).startswith(f"The annotation file FILE is not JSON ({reason}")


@pytest.mark.parametrize("text", ["[]", '{"images": []}', '{"images": {}}', "3", "null", '"x"'])
def test_not_coco(refused, text):
    missing = "annotations" if text == '{"images": []}' else "images"
    assert refused(text) == f"FILE is not a COCO detection file: it has no list '{missing}'."


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
@pytest.mark.parametrize("literal", ["3", "null", "[]", '"x"'])
def test_entries_that_are_no_objects(refused, key, literal):
    sentence = f"FILE: entry 1 of '{key}' is no object with fields."
    assert refused(_changed(f"{key}.1", literal)) == sentence


NOT_NUMBERS = {
    "NaN": "nan", "Infinity": "inf", "-Infinity": "-inf", "1e999": "inf", "true": "True",
    "1" + "0" * 400: "100000000000000000...0000000000000000000", '"3"': "'3'", "null": "None",
    "[]": "[]", "{}": "{}",
}  # fmt: skip
NOT_SIDES = {**NOT_NUMBERS, "0": "0", "-4": "-4", "2.5": "2.5", "1e300": "1e+300"}
NOT_IDS = {"NaN": "nan", "1e999": "inf", "true": "True", "1.5": "1.5", "[]": "[]", "{}": "{}"}
NOT_FLAGS = {**NOT_NUMBERS, "2": "2", "-1": "-1", "0.5": "0.5"}
NOT_FLAGS.pop("true")
NOT_NAMES = {
    "3": "3", "null": "None", "[]": "[]", '""': "''", '"  "': "'  '",
    '"a\\u0000b"': "'a\\x00b'", '"\\ud800"': "'\\ud800'",
}  # fmt: skip


def _cases():
    groups = [
        (["images.0.width", "images.1.height"], NOT_SIDES, "a whole number of pixels above 0"),
        (["annotations.1.iscrowd"], NOT_FLAGS, "0 or 1"),
        (["annotations.0.id"], NOT_IDS, "a whole number or a string"),
        (
            ["images.1.id", "annotations.0.image_id", "annotations.1.category_id",
             "categories.0.id"],
            {**NOT_IDS, "null": "None"},
            "a whole number or a string",
        ),
        (["images.0.file_name", "categories.1.name"], NOT_NAMES, "a string that can be a name"),
    ]  # fmt: skip
    for places, literals, wanted in groups:
        for place in places:
            for literal, shown in literals.items():
                yield place, literal, shown, wanted


@pytest.mark.parametrize(("place", "literal", "shown", "wanted"), _cases())
def test_fields_without_a_valid_value(refused, place, literal, shown, wanted):
    key, number, field = place.split(".")
    assert refused(_changed(place, literal)) == (
        f"FILE: entry {number} of '{key}' has no valid '{field}' ({shown}): it must be {wanted}."
    )


@pytest.mark.parametrize("position", range(4))
@pytest.mark.parametrize(("literal", "shown"), NOT_NUMBERS.items())
def test_numbers_of_a_box(refused, position, literal, shown):
    sentence = refused(_changed(f"annotations.0.bbox.{position}", literal))
    assert re.fullmatch(
        r"FILE: entry 0 of 'annotations' has no valid 'bbox' \(\[.*\]\): it must be a list of four "
        r"finite numbers of pixels\.",
        sentence,
    )
    assert shown in sentence


@pytest.mark.parametrize("literal", ["[]", "[1, 2, 3]", "[1, 2, 3, 4, 5]", "null", "4", '"1234"'])
def test_a_box_is_four_numbers(refused, literal):
    assert "has no valid 'bbox'" in refused(_changed("annotations.0.bbox", literal))


@pytest.mark.parametrize(
    ("key", "field"),
    [("images", "id"), ("images", "file_name"), ("images", "width"), ("images", "height"),
     ("annotations", "image_id"), ("annotations", "category_id"), ("annotations", "bbox"),
     ("categories", "id"), ("categories", "name")],
)  # fmt: skip
def test_missing_fields(refused, key, field):
    content = copy.deepcopy(VALID)
    del content[key][1][field]
    assert f"FILE: entry 1 of '{key}' has no valid '{field}' (missing)" in refused(content)


@pytest.mark.parametrize(
    ("place", "literal", "what"),
    [
        ("images.1.id", "7", "image id 7"),
        ("images.1.file_name", '"b/../a/0.png"', "image file 'a/0.png'"),
        ("categories.1.id", "0", "category id 0"),
    ],
)
def test_what_must_be_unique(refused, place, literal, what):
    assert refused(_changed(place, literal)) == (
        f"FILE has the {what} twice (entries 0 and 1): give each its own, or merge the two entries."
    )


@pytest.mark.parametrize("literal", ["5", '"0"'])
def test_unknown_category(refused, literal):
    shown = literal.replace('"', "'")
    assert refused(_changed("annotations.1.category_id", literal)) == (
        f"FILE lacks the category {shown} of annotation 1: add it to 'categories' or remove the "
        "annotation."
    )


@pytest.mark.parametrize(
    "name", ["../secret.png", "/etc/secret.png", "a/../../secret.png", "..", "//x.png"]
)
def test_names_outside_the_root(refused, name):
    assert refused(_changed("images.1.file_name", json.dumps(name))) == (
        f"FILE lists the image {name!r}, which is outside its folder: list the images relative to "
        "data.root."
    )


@pytest.mark.parametrize("name", [".", "a/..", "./"])
def test_names_of_the_root_itself(refused, name):
    sentence = f"FILE: entry 1 of 'images' names a folder, {name!r}."
    assert refused(_changed("images.1.file_name", json.dumps(name))) == sentence


def test_absent_files_say_how_to_get_them(tmp_path):
    for path in (tmp_path / "annotations.json", tmp_path):
        with pytest.raises(DataError) as caught:
            read_coco(path, "Clone it.")
        assert str(caught.value) == (
            f"The annotation file {path} does not exist: the expected tree is root/{path.name} and "
            "the images it lists, relative to root. Clone it."
        )


def test_unreadable_file(open_folder, as_nobody):
    path = open_folder / "annotations.json"
    path.write_text(json.dumps(VALID))
    path.chmod(0)

    def read() -> str:
        with pytest.raises(DataError) as caught:
            read_coco(path)
        return str(caught.value)

    sentence = f"The annotation file {path} cannot be read (Permission denied)."
    assert as_nobody(read) == sentence


def test_name_too_long_for_the_system(tmp_path):
    with pytest.raises(DataError, match=r"cannot be read \(File name too long\)"):
        read_coco(tmp_path / ("x" * 5000))
