import json
import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.errors import DataError
from datamodules.sources.coco import Coco
from datamodules.sources.coco.coco_file import CocoBox, CocoImage
from datamodules.sources.coco.cropping import BoxCount, Cropping
from datamodules.splits.splits import Splits
from tests.datamodules.conftest import at_most

ONE_EACH = [[(n % 2, [10, 10, 40, 20])] for n in range(20)]


def _check(root, **settings) -> str:
    with pytest.raises(DataError) as caught:
        Coco(root=str(root), **settings).check()
    return str(caught.value).replace(str(root), "ROOT")


def _items(root, **settings):
    return Coco(root=str(root), **settings).read().splits["unsplit"]


def _said(root, **settings) -> list[str]:
    """What was left out, and the notes."""
    index = Coco(root=str(root), **settings).read()
    return [*(f"{one.count} {one.reason}" for one in index.left_out), *index.notes]


def test_crops_are_squares_around_widened_boxes(make_coco):
    boxes = [[(0, [10, 10, 40, 20])], *ONE_EACH]
    source = Coco(root=str(make_coco(boxes)), margin=0.1)
    assert source.check() == ("box", "can")
    index = source.read()
    items = index.splits["unsplit"]
    # Longer side 40, widened by 4 on both sides, about the centre (30, 20): reaches outside.
    assert {item.box for item in items} == {(6, -4, 54, 44)}
    assert {item.size for item in items} == {(100, 80)}
    assert index.class_names == ("box", "can")
    by_name = {Path(item.path).name: item.label for item in items}
    assert by_name["1.png"] == 1 and by_name["2.png"] == 0  # category 0 is "can"


def test_crops_may_keep_their_shape(make_coco):
    items = _items(make_coco(ONE_EACH), margin=0.1, square=False)
    assert {item.box for item in items} == {(6, 8, 54, 32)}  # 40 x 20 widened to 48 x 24


@given(
    st.tuples(*[st.floats(-50, 150)] * 2, *[st.floats(0.01, 200)] * 2),
    st.floats(0, 2),
    st.booleans(),
)
def test_crops_hold_their_box(bbox, margin, square):
    image = CocoImage(0, "0.png", 100, 80)
    count = BoxCount(1)
    box = CocoBox(None, 0, 0, bbox, crowd=False)
    found = list(
        Cropping(margin=margin, min_size=0, square=square).crops(image, [box], {0: 3}, count)
    )
    x0, x1 = max(0, bbox[0]), min(100, bbox[0] + bbox[2])
    y0, y1 = max(0, bbox[1]), min(80, bbox[1] + bbox[3])
    if x0 >= x1 or y0 >= y1:
        assert not found and count.dropped.total() == 1
        return
    ((label, (left, top, right, bottom)),) = found
    assert label == 3
    assert left - 1 <= x0 and right + 1 >= x1 and top - 1 <= y0 and bottom + 1 >= y1
    if square:
        assert right - left == bottom - top
    else:
        assert right - left == max(1, round((x1 - x0) * (1 + 2 * margin)))
    assert abs((left + right) - (x0 + x1)) <= 2 and abs((top + bottom) - (y0 + y1)) <= 2


ODD = [
    (0, [90, 70, 500, 500]),  # clipped to 10 x 10
    (0, [-5, -5, 20, 20]),  # clipped to 15 x 15
    (0, [20, 20, 0, 30]),  # no area
    (0, [20, 20, -5, 30]),  # negative width
    (0, [200, 10, 30, 30]),  # outside
    (0, [-30, 10, 30, 30]),  # ends where the image begins
    (0, [20, 20, 5, 7]),  # too small
    (0, [96, 20, 30, 7]),  # too small once it is clipped
    (1, [20, 20, 20, 20]),
    (1, [20, 20, 20, 20]),  # the same again
    (0, [20, 20, 20, 20]),  # the same of another class
    (1, [20.2, 20.2, 20, 20]),  # the same pixels
]


def test_boxes_are_clipped_or_dropped_and_counted(make_coco):
    root = make_coco([ODD])
    items = _items(root, margin=0, min_size=8)
    assert [(i.label, i.box) for i in items] == [
        (1, (90, 70, 100, 80)),
        (1, (0, 0, 15, 15)),
        (0, (20, 20, 40, 40)),
        (1, (20, 20, 40, 40)),
    ]
    assert _said(root, margin=0, min_size=8) == [
        "4 boxes outside the image or without area",
        "2 boxes shorter than min_size=8",
        "2 boxes repeated",
        "annotations.json: clipped 2 of 12 boxes to their image",
    ]


def test_crowds_and_unlisted_images_are_counted(make_coco, tmp_path):
    root = make_coco(ONE_EACH)
    content = json.loads((root / "annotations.json").read_text())
    content["annotations"][3]["iscrowd"] = True
    content["annotations"][5]["iscrowd"] = 1
    content["annotations"][6]["iscrowd"] = 0
    content["annotations"] += [{"image_id": "gone", "category_id": 0, "bbox": [0, 0, 20, 20]}]
    content["categories"] += [{"id": 9, "name": "toy"}]
    content["annotations"] += [{"image_id": 0, "category_id": 9, "bbox": [0, 0, 20, 20]}]
    (root / "annotations.json").write_text(json.dumps(content))
    (tmp_path / "map.yaml").write_text("can: can\nbox: box\ntoy: null\n")
    items = _items(root, class_map=str(tmp_path / "map.yaml"))
    assert {item.group for item in items} == {f"{n}.png" for n in range(20) if n not in (3, 5)}
    assert _said(root, class_map=str(tmp_path / "map.yaml")) == [
        "2 boxes of crowds",
        "1 boxes of dropped categories",
        "1 boxes of unlisted images",
    ]


def test_repeated_annotation_ids_are_said(make_coco):
    root = make_coco(ONE_EACH)
    content = json.loads((root / "annotations.json").read_text())
    for number, id in {3: 7, 4: 7, 5: "a", 6: "a", 7: None, 8: None}.items():
        content["annotations"][number]["id"] = id
    (root / "annotations.json").write_text(json.dumps(content))
    assert len(_items(root)) == 20
    assert _said(root) == [
        "annotations.json: 2 annotation ids occur twice or more, and all their boxes are read"
    ]


def test_classes_without_boxes_are_left_out_and_said(make_coco):
    boxes = [[(3, [10, 10, 40, 20])], [(1, [10, 10, 40, 20]), (0, [1, 1, 3, 3])]]
    root = make_coco(boxes, categories=("axe", "box", "can", "die"))
    index = Coco(root=str(root)).read()
    assert index.class_names == ("box", "die")
    assert [item.label for item in index.splits["unsplit"]] == [1, 0]
    assert _said(root)[1:] == [
        "annotations.json: no box is left of axe, can, so these classes are left out"
    ]


def test_nothing_is_logged_here(make_coco, caplog):
    """Whoever shows the index says it, once."""
    caplog.set_level(logging.INFO)
    source = Coco(root=str(make_coco([*ONE_EACH, ODD])))
    source.check()
    source.read()
    source.prepare()
    assert not caplog.messages


def test_nothing_is_said_of_a_clean_file(make_coco):
    assert _said(make_coco(ONE_EACH)) == []


def test_no_box_is_left(make_coco):
    assert _check(make_coco([[(0, [1, 1, 5, 5])], []])) == (
        "ROOT/annotations.json leaves nothing to learn from: clipped 0, dropped 1 of 1 boxes "
        "(1 shorter than min_size=16)."
    )
    assert "clipped 0, dropped 0 of 0 boxes." in _check(make_coco([[]]))


def test_categories_of_one_name_are_one_class(make_coco):
    root = make_coco(ONE_EACH, categories=("can", "can"))
    assert Coco(root=str(root)).check() == ("can",)
    assert len(_items(root)) == 20


def test_splits_by_image_stratified_and_fixed(make_coco):
    boxes = [[(int(n % 3 == 0), [10, 10, 40, 20]), (1, [30, 30, 30, 30])] for n in range(40)]
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


@pytest.mark.parametrize("absolute", [True, False])
def test_annotations_beside_the_images(make_coco, tmp_path, absolute):
    """As COCO 2017 has it: `train2017/` and `annotations/instances_train2017.json`."""
    root = make_coco(ONE_EACH)
    (tmp_path / "annotations").mkdir()
    file = (root / "annotations.json").rename(tmp_path / "annotations" / "train.json")
    source = Coco(
        root=str(root), annotations=str(file) if absolute else "../annotations/train.json"
    )
    assert source.check() == ("box", "can")
    assert source.read().splits["unsplit"][0].path == str(root / "0.png")


def test_class_map_file(make_coco, tmp_path):
    (tmp_path / "map.yaml").write_text("can: Metal\nbox: null\n")
    index = Coco(root=str(make_coco(ONE_EACH)), class_map=str(tmp_path / "map.yaml")).read()
    assert index.class_names == ("Metal",)
    assert len(index.splits["unsplit"]) == 10


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"margin": -0.1}, "margin=-0.1 is not allowed; give a number in 0..10."),
        ({"margin": float("nan")}, "margin=nan is not allowed; give a number in 0..10."),
        ({"margin": "wide"}, "margin=wide is not allowed; give a number in 0..10."),
        ({"margin": 1e999}, "margin=inf is not allowed; give a number in 0..10."),
        ({"min_size": -1}, "min_size=-1 is not allowed; give a number in 0..1000000."),
        ({"min_size": True}, "min_size=True is not allowed; give a number in 0..1000000."),
        ({"square": "yes"}, "square=yes is not allowed; give true or false."),
    ],
)
def test_impossible_settings(tmp_path, settings, sentence):
    with pytest.raises(DataError) as caught:
        Coco(root=str(tmp_path), **settings)
    assert str(caught.value) == f"data.source.{sentence}"


def test_absent_images_are_counted(make_coco):
    root = make_coco(ONE_EACH)
    (root / "3.png").unlink()
    (root / "5.png").unlink()
    assert _check(root, how_to_get="Clone it.") == (
        "2 of 20 annotated images are not among the files of ROOT, first '3.png': download them or "
        "remove them from the annotations. Clone it."
    )


def test_images_without_boxes_may_be_absent(make_coco):
    root = make_coco([*ONE_EACH, []])
    (root / "20.png").unlink()
    assert Coco(root=str(root)).check() == ("box", "can")


def _replaced(root: Path, name: str, kind: str) -> None:
    path = root / name
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to("b.png")
        (root / "b.png").symlink_to(name)
    elif kind == "dangling":
        path.symlink_to("gone.png")


@pytest.mark.parametrize("kind", ["folder", "pipe", "loop", "dangling"])
def test_what_is_no_file_counts_as_absent(make_coco, kind):
    root = make_coco(ONE_EACH)
    _replaced(root, "4.png", kind)
    with at_most(10):
        found = _check(root)
    assert found.startswith("1 of 20 annotated images are not among the files of ROOT, first '4.p")


def test_links_to_files_are_files(make_coco, tmp_path):
    root = make_coco(ONE_EACH)
    (root / "4.png").rename(tmp_path / "moved.png")
    (root / "4.png").symlink_to(tmp_path / "moved.png")
    assert Coco(root=str(root)).check() == ("box", "can")


def test_absent_folders(make_coco):
    names = [f"{'ab'[n % 2]}/{n}.png" for n in range(20)]
    root = make_coco(ONE_EACH, names=names)
    assert Coco(root=str(root)).check() == ("box", "can")
    (root / "b").rename(root / "c")
    assert "10 of 20 annotated images" in _check(root) and "first 'b/1.png'" in _check(root)


def test_folders_that_may_not_be_listed(make_coco, open_folder, as_nobody):
    names = [f"shut/{n}.png" for n in range(20)]
    root = make_coco(ONE_EACH, names=names, root=open_folder / "coco")
    (root / "shut").chmod(0)
    try:
        sentence = "The folder ROOT/shut may not be listed: get the right to read it."
        assert as_nobody(lambda: _check(root)) == sentence
    finally:
        (root / "shut").chmod(0o755)


def test_each_folder_is_listed_once(make_coco, monkeypatch):
    """A stat for each of a hundred thousand files would take seconds."""
    names = [f"{'ab'[n % 2]}/{n}.png" for n in range(20)]
    root = make_coco(ONE_EACH, names=names)
    listed, stated = [], []
    scandir, stat = os.scandir, os.stat
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or scandir(path))
    monkeypatch.setattr(os, "stat", lambda *a, **k: stated.append(a) or stat(*a, **k))
    Coco(root=str(root)).check()
    assert sorted(listed) == [root / "a", root / "b"]
    assert [path for (path, *_) in stated if str(path).endswith(".png")] == []
