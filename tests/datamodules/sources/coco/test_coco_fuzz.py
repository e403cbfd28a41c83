"""Whatever an annotation file holds: classes and items that hold together, or one sentence."""

import copy
import json
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.errors import DataError
from datamodules.sources.coco import Coco

VALID = {
    "info": {"year": 2019},
    "images": [
        {"id": n, "file_name": f"{'ab'[n % 2]}/{n}.png", "width": 100, "height": 80}
        for n in range(6)
    ],
    "annotations": [
        {"id": n, "image_id": n % 6, "category_id": n % 3, "bbox": [n, 10, 40.5, 20], "iscrowd": 0,
         "segmentation": [[1, 2, 3, 4]], "area": 80}
        for n in range(12)
    ],
    "categories": [
        {"id": n, "name": name, "supercategory": "thing"}
        for n, name in enumerate(["can", "box", "pot"])
    ],
}  # fmt: skip

ODD = [
    float("nan"), float("inf"), float("-inf"), -0.0, 1e308, 10**400, -(10**400), 2**63, True,
    "", ".", "..", "../x.png", "/etc/passwd", "a\0b", "\ud800", "a/" * 3000, "x" * 5000, "\n", "~",
    "${x}", [], {}, [[]], [None] * 4, [1, 2, 3, 4], [0, 0, 1e999, 1],
]  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
KEYS = st.sampled_from(["id", "name", "file_name", "bbox", "images"]) | st.text(max_size=3)
VALUES = st.recursive(
    SCALARS | st.sampled_from(ODD),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    for image in VALID["images"]:
        (folder / image["file_name"]).parent.mkdir(exist_ok=True)
        (folder / image["file_name"]).touch()
    (folder / "map.yaml").write_text("can: Metal\nbox: Paper\npot: null\n")
    return folder


def _try(root, data: bytes, **changes) -> bool:
    """Whether the file was accepted."""
    (root / "annotations.json").write_bytes(data)
    source = Coco(root=str(root), **changes)
    try:
        index = source.read()
        names = source.check()
    except DataError as error:
        assert str(error).encode() and "\n" not in str(error)
        return False
    assert names == index.class_names and list(index.splits) == ["unsplit"]
    items = index.splits["unsplit"]
    assert {item.label for item in items} == set(range(len(names)))
    assert len(set(items)) == len(items)
    for item in items:
        assert item.path == f"{root}/{item.group}" and ".." not in item.group
        assert all(type(side) is int for side in (*item.box, *(item.size or ())))
        assert item.box[0] < item.box[2] and item.box[1] < item.box[3]
    return True


def _mutate(draw, content) -> None:
    """Replace, remove, repeat or add something at a random place."""
    place = content
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = draw(st.sampled_from(keys))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or draw(st.integers(0, 3)) == 0:
            break
        place = inner
    kind = draw(st.sampled_from(["replace", "replace", "remove", "swap", "repeat"]))
    if kind == "replace":
        place[key] = copy.deepcopy(draw(VALUES))  # a further change must not reach into ODD
    elif kind == "remove":
        del place[key]
    elif kind == "swap":
        other = draw(st.sampled_from(keys))
        place[key], place[other] = place[other], place[key]
    elif isinstance(place, list):
        place.append(copy.deepcopy(inner))
    else:
        place[draw(KEYS)] = copy.deepcopy(inner)


def test_the_valid_file_is_accepted(root):
    assert _try(root, json.dumps(VALID).encode())


FUZZ = settings(deadline=None, max_examples=300)


@FUZZ
@given(st.data(), st.integers(1, 4), st.sampled_from([{}, {"square": False, "min_size": 0}]))
def test_changed_structure(root, data, times, changes):
    content = copy.deepcopy(VALID)
    for _ in range(times):
        _mutate(data.draw, content)
    mapped = data.draw(st.booleans())
    class_map = {"class_map": str(root / "map.yaml")} if mapped else {}
    _try(root, json.dumps(content).encode(), **changes, **class_map)


@FUZZ
@given(VALUES, st.sampled_from([None, *VALID]))
def test_any_json(root, value, key):
    content = value if key is None else {**VALID, key: value}
    _try(root, json.dumps(content).encode())


@FUZZ
@given(st.binary(max_size=60), st.integers(0, 2000), st.integers(0, 40))
def test_any_bytes(root, junk, start, length):
    valid = json.dumps(VALID).encode()
    _try(root, junk)
    _try(root, valid[:start] + junk + valid[start + length :])


@FUZZ
@given(st.text(string.printable, max_size=60) | st.binary(max_size=60), st.booleans())
def test_any_class_map(root, text, mapped):
    content = text if isinstance(text, bytes) else text.encode()
    (root / "any.yaml").write_bytes(b"can: A\nbox: B\npot: C\n" + content if mapped else content)
    _try(root, json.dumps(VALID).encode(), class_map=str(root / "any.yaml"))
