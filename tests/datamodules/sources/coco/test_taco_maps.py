"""The bundled maps against the official annotations, counted a second way."""

import json
from collections import Counter

import pytest

from datamodules.sources.coco import Coco
from datamodules.sources.coco.class_map import read_class_map
from datamodules.splits.splits import Splits
from tests.conftest import SHARED, needs_shared

ROOT = SHARED / "data" / "taco"
MAPS = ("taco6", "taco9", "taco28", "taco60")
pytestmark = needs_shared("data", "taco", "annotations.json")

# By the ids of the official file instead of the maps' names.
TACO6_IDS = {
    "Metal": {0, 8, 10, 11, 12, 28, 50, 52},
    "Paper": {13, 14, 15, 17, 19, 30, 31, 32, 33, 34, 56},
    "Paperpack": {16, 18, 20, 35},
    "Plastic": {4, 5, 7, 21, 24, 27, 29, 37, 43, 44, 45, 47, 49, 54, 55},
    "Plasticbag": {36, 38, 39, 40, 41, 42, 48},
    "Styrofoam": {22, 46, 57},
}
TACO9_IDS = {**TACO6_IDS, "Battery": {1}, "Clothing": {53}, "Glass": {6, 9, 23, 26}}

TACO6_COUNTS = {
    "Metal": 544, "Paper": 355, "Paperpack": 142, "Plastic": 1263, "Plasticbag": 849,
    "Styrofoam": 140,
}  # fmt: skip
TACO9_COUNTS = {**TACO6_COUNTS, "Battery": 2, "Clothing": 7, "Glass": 254}
TACO28_COUNTS = {
    "Aluminium foil": 62, "Battery": 2, "Blister pack": 7, "Bottle": 439, "Bottle cap": 289,
    "Broken glass": 138, "Can": 273, "Carton": 251, "Cigarette": 667, "Cup": 192, "Food waste": 8,
    "Glass jar": 6, "Lid": 87, "Other plastic": 273, "Paper": 148, "Paper bag": 27,
    "Plastic bag & wrapper": 850, "Plastic container": 72, "Plastic glooves": 4,
    "Plastic utensils": 37, "Pop tab": 99, "Rope & strings": 29, "Scrap metal": 20, "Shoe": 7,
    "Squeezable tube": 7, "Straw": 161, "Styrofoam piece": 112, "Unlabeled litter": 517,
}  # fmt: skip


@pytest.fixture(scope="module")
def official():
    return json.loads((ROOT / "annotations.json").read_text())


def _expected_class(name: str, category: dict) -> str | None:
    if name == "taco28":
        return category["supercategory"]
    if name == "taco60":
        return category["name"]
    ids = TACO6_IDS if name == "taco6" else TACO9_IDS
    (found,) = [label for label, of_class in ids.items() if category["id"] in of_class] or [None]
    return found


@pytest.mark.parametrize("name", MAPS)
def test_all_60_categories_are_mapped_or_dropped(official, name):
    expected = {c["name"]: _expected_class(name, c) for c in official["categories"]}
    assert len(expected) == 60
    assert read_class_map(name) == expected


@pytest.mark.parametrize("name", MAPS)
def test_class_counts(official, name):
    class_of = {c["id"]: _expected_class(name, c) for c in official["categories"]}
    expected = Counter(class_of[a["category_id"]] for a in official["annotations"])
    expected.pop(None, None)
    index = Coco(root=str(ROOT), class_map=name, min_size=0).read()
    found = Counter(index.class_names[item.label] for item in index.splits["unsplit"])
    assert found == expected
    assert index.class_names == tuple(sorted(expected))
    pinned = {"taco6": TACO6_COUNTS, "taco9": TACO9_COUNTS, "taco28": TACO28_COUNTS}
    assert found == pinned.get(name, expected)
    assert len(found) == {"taco6": 6, "taco9": 9, "taco28": 28, "taco60": 59}[name]
    assert found.total() == {"taco6": 3293, "taco9": 3556}.get(name, 4784)


def test_the_category_without_a_box_is_said():
    index = Coco(root=str(ROOT), class_map="taco60").read()
    assert [(one.count, one.reason) for one in index.left_out if "boxes sh" in one.reason] == [
        (4, "boxes shorter than min_size=16")
    ]
    assert [note.partition(".json: ")[2] for note in index.notes] == [
        "2 annotation ids occur twice or more, and all their boxes are read",
        "clipped 7 of 4784 boxes to their image",
        "no box is left of Plastified paper bag, so these classes are left out",
    ]


@pytest.mark.parametrize("name", MAPS)
def test_splits_share_no_image(name):
    index = Splits().apply(Coco(root=str(ROOT), class_map=name).read())
    groups = [{item.group for item in items} for items in index.splits.values()]
    assert sum(map(len, groups)) == len(set.union(*groups))


def test_splits_have_their_part_of_each_class():
    index = Splits().apply(Coco(root=str(ROOT), class_map="taco6", min_size=0).read())
    for label, name in enumerate(index.class_names):
        for split, fraction in {"train": 0.7, "val": 0.15, "test": 0.15}.items():
            found = sum(item.label == label for item in index.splits[split])
            assert found == pytest.approx(fraction * TACO6_COUNTS[name], abs=3), (name, split)


def test_items_are_the_annotated_boxes(official):
    """A second computation of every crop, from the formulas of the documentation."""
    images = {image["id"]: image for image in official["images"]}
    expected = []
    for annotation in official["annotations"]:
        image, (x, y, w, h) = images[annotation["image_id"]], annotation["bbox"]
        right, bottom = min(x + w, image["width"]), min(y + h, image["height"])
        x, y = max(x, 0), max(y, 0)
        side = round(max(right - x, bottom - y) * 1.2)
        left, top = round((x + right - side) / 2), round((y + bottom - side) / 2)
        box = left, top, left + side, top + side
        if max(right - x, bottom - y) >= 16:
            expected.append((image["file_name"], box, (image["width"], image["height"])))
    items = Coco(root=str(ROOT), class_map="taco60").read().splits["unsplit"]
    assert sorted((i.group, i.box, i.size) for i in items) == sorted(expected)
