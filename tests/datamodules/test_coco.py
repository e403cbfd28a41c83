import json
from collections import Counter
from pathlib import Path

import pytest

from datamodules.errors import DataError
from datamodules.sources.coco import Coco
from datamodules.sources.coco_file import read_coco
from datamodules.splits import Splits

ONE_EACH = [[(n % 2, [10, 10, 40, 20])] for n in range(20)]


def _check(root, **settings) -> str:
    with pytest.raises(DataError) as caught:
        Coco(root=str(root), **settings).check()
    return str(caught.value)


def test_crops_are_squares_around_widened_boxes(make_coco):
    boxes = [[(0, [10, 10, 40, 20])], *ONE_EACH]
    source = Coco(root=str(make_coco(boxes)), margin=0.1)
    assert source.check() == ("box", "can")
    index = source.read()
    items = index.splits["unsplit"]
    # Longer side 40, widened by 4 on both sides, about the centre (30, 20): reaches outside.
    assert {item.box for item in items} == {(6, -4, 54, 44)}
    assert index.class_names == ("box", "can")
    by_name = {Path(item.path).name: item.label for item in items}
    assert by_name["1.png"] == 1 and by_name["2.png"] == 0  # category 0 is "can"


def test_boxes_are_clipped_or_dropped(make_coco):
    odd = [
        (0, [90, 70, 500, 500]),  # clipped to 10 x 10
        (0, [20, 20, 0, 30]),  # no area
        (0, [20, 20, -5, 30]),  # negative width
        (0, [200, 10, 30, 30]),  # outside
        (0, [20, 20, 5, 7]),  # too small
        (0, [10, 10, float("nan"), 30]),
    ]
    root = make_coco([odd, *ONE_EACH])
    items = Coco(root=str(root), margin=0, min_size=8).read().splits["unsplit"]
    boxes = [i.box for i in items if i.group == "0.png"]
    assert boxes == [(90, 70, 100, 80)]


def test_splits_by_image_stratified_and_fixed(make_coco):
    boxes = [[(n % 3 == 0, [10, 10, 40, 20]), (1, [30, 30, 30, 30])] for n in range(40)]
    root = make_coco(boxes)
    index = Splits().apply(Coco(root=str(root)).read())
    groups = {split: {i.group for i in items} for split, items in index.splits.items()}
    assert {split: len(found) for split, found in groups.items()} == {
        "train": 28,
        "val": 6,
        "test": 6,
    }
    assert len(set.union(*groups.values())) == 40
    content = json.loads((root / "annotations.json").read_text())
    content["images"].reverse()
    (root / "annotations.json").write_text(json.dumps(content))
    again = Splits().apply(Coco(root=str(root)).read())
    assert {s: {i.group for i in items} for s, items in again.splits.items()} == groups


def test_no_test_split(make_coco):
    index = Coco(root=str(make_coco(ONE_EACH))).read()
    splits = Splits(test_fraction=0).apply(index).splits
    assert {split: len(items) for split, items in splits.items()} == {"train": 17, "val": 3}


def test_class_map_file(make_coco, tmp_path):
    (tmp_path / "map.yaml").write_text("can: Metal\nbox: null\n")
    index = Coco(root=str(make_coco(ONE_EACH)), class_map=str(tmp_path / "map.yaml")).read()
    assert index.class_names == ("Metal",)
    assert sum(len(items) for items in index.splits.values()) == 10


def test_category_missing_from_the_map(make_coco, tmp_path):
    (tmp_path / "map.yaml").write_text("can: Metal\n")
    message = _check(make_coco(ONE_EACH), class_map=str(tmp_path / "map.yaml"))
    assert "lacks 1 categories" in message and "'box'" in message


@pytest.mark.parametrize("text", ["can: [", "just words", "can: 3", "can: A\ncan: B"])
def test_broken_map(make_coco, tmp_path, text):
    (tmp_path / "map.yaml").write_text(text)
    assert "class map" in _check(make_coco(ONE_EACH), class_map=str(tmp_path / "map.yaml"))


def test_unknown_map_names_the_bundled_ones(make_coco):
    assert "taco6" in _check(make_coco(ONE_EACH), class_map="taco7")


def test_missing_annotations_say_how_to_get_them(tmp_path):
    message = _check(tmp_path, how_to_get="Clone it.")
    assert "annotations.json does not exist" in message and message.endswith("Clone it.")


def test_not_json(tmp_path):
    (tmp_path / "annotations.json").write_text("<html>")
    assert "is not JSON" in _check(tmp_path)


@pytest.mark.parametrize("text", ["[]", '{"images": []}', '{"images": {}}', "3"])
def test_not_coco(tmp_path, text):
    (tmp_path / "annotations.json").write_text(text)
    assert "is not a COCO detection file: it has no list" in _check(tmp_path)


@pytest.mark.parametrize(
    "annotation",
    [{}, 3, {"image_id": 0, "category_id": 0, "bbox": [1, 2, 3]},
     {"image_id": 0, "category_id": 0, "bbox": [1, 2, 3, "4"]},
     {"image_id": [], "category_id": 0, "bbox": [1, 2, 3, 4]}],
)  # fmt: skip
def test_broken_annotation(make_coco, annotation):
    root = make_coco(ONE_EACH, annotations=[annotation])
    assert "entry 0 of 'annotations' has no valid" in _check(root)


def test_unknown_category(make_coco):
    root = make_coco([[(7, [1, 1, 30, 30])], *ONE_EACH])
    assert "lacks the category 7 of annotation 0" in _check(root)


@pytest.mark.parametrize("name", ["../secret.png", "/etc/secret.png", "a/../../secret.png"])
def test_names_outside_the_root(make_coco, name):
    assert f"{name!r}, which is outside" in _check(make_coco([[]], names=[name]))


def test_absent_images_are_counted(make_coco):
    root = make_coco(ONE_EACH)
    (root / "3.png").unlink()
    (root / "5.png").unlink()
    message = _check(root, how_to_get="Clone it.")
    assert "2 of 20 images" in message and "first '3.png'" in message
    assert message.endswith("Clone it.")


# Counted from the official file with a list of category ids instead of the map's names.
TACO6_IDS = {
    "Metal": {0, 8, 10, 11, 12, 28, 50, 52},
    "Paper": {13, 14, 15, 17, 19, 30, 31, 32, 33, 34, 56},
    "Paperpack": {16, 18, 20, 35},
    "Plastic": {4, 5, 7, 21, 24, 27, 29, 37, 43, 44, 45, 47, 49, 54, 55},
    "Plasticbag": {36, 38, 39, 40, 41, 42, 48},
    "Styrofoam": {22, 46, 57},
}


@pytest.fixture
def taco_root():
    root = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "taco"
    if not (root / "annotations.json").is_file():
        pytest.skip("the official TACO annotations are not in ../shared/data/taco")
    return root


def test_taco6_maps_all_60_categories(taco_root):
    from datamodules.sources.class_map import read_class_map

    categories = read_coco(taco_root / "annotations.json")["categories"]
    class_map = read_class_map("taco6")
    assert {c["name"] for c in categories} == set(class_map) and len(class_map) == 60
    for category in categories:
        expected = [name for name, ids in TACO6_IDS.items() if category["id"] in ids]
        assert [class_map[category["name"]]] == (expected or [None]), category


def test_taco6_class_counts_and_splits(taco_root):
    index = Splits().apply(Coco(root=str(taco_root), class_map="taco6", min_size=0).read())
    items = [item for split in index.splits.values() for item in split]
    counts = Counter(index.class_names[item.label] for item in items)
    assert counts == {
        "Metal": 544,
        "Paper": 355,
        "Paperpack": 142,
        "Plastic": 1263,
        "Plasticbag": 849,
        "Styrofoam": 140,
    }
    for label, name in enumerate(index.class_names):
        for split, fraction in {"train": 0.7, "val": 0.15, "test": 0.15}.items():
            got = sum(item.label == label for item in index.splits[split])
            assert got == pytest.approx(fraction * counts[name], abs=3), (name, split)
    groups = [{item.group for item in split} for split in index.splits.values()]
    assert sum(map(len, groups)) == len(set.union(*groups))
