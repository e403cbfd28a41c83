import os

import pytest

from datamodules.errors import DataError
from datamodules.sources.coco.class_map import BUNDLED, read_class_map, require_complete
from tests.datamodules.conftest import at_most


def _refused(name) -> str:
    with pytest.raises(DataError) as caught:
        read_class_map(str(name))
    return str(caught.value).replace(str(name), "MAP")


def test_a_file(tmp_path):
    (tmp_path / "map.yaml").write_text("can: Metal\nbox: null\n3: Paper\n'no': Wood\n")
    assert read_class_map(str(tmp_path / "map.yaml")) == {
        "can": "Metal",
        "box": None,
        "3": "Paper",
        "no": "Wood",
    }


@pytest.mark.parametrize("name", sorted(path.stem for path in BUNDLED.glob("*.yaml")))
def test_bundled_maps_say_how_they_are_used_and_why_they_drop(name):
    lines = (BUNDLED / f"{name}.yaml").read_text().splitlines()
    assert lines[0] == f"# python run.py data=taco data.source.class_map={name}"
    dropped = [line for line in lines if line.partition("#")[0].rstrip().endswith(": null")]
    assert all("# " in line for line in dropped)
    assert len(dropped) == list(read_class_map(name).values()).count(None)


def test_unknown_map_names_the_bundled_ones():
    assert _refused("taco7") == (
        "The class map 'MAP' does not exist: give the path of a YAML file or one of taco28, taco6, "
        "taco60, taco9."
    )
    assert "does not exist" in _refused(3) and "does not exist" in _refused({"can": "A"})
    assert "does not exist" in _refused("a\0b")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("can: [", "is not readable YAML (while parsing"),
        ("can: A\ncan: B", "is not readable YAML (while constructing a mapping"),
        ("~: b", "is not readable YAML (Incompatible key type 'NoneType'"),
        ("? [a]\n: b", "is not readable YAML ("),
        ("- can\n- box", "is not a list of `category: class or null` lines."),
        ("can: 3", "gives 'can' the class 3, which is no name: give a name (in quotes if YAML"),
        ("can: no", "gives 'can' the class False, which is no name: give a name (in quotes"),
        ("can: ''", "gives 'can' the class '', which is no name"),
        ("can: {a: b}", "gives 'can' the class {'a': 'b'}, which is no name"),
        ('can: "\\ud800"', "which is no name"),
        (b"can: \xff", "is not readable YAML ('utf-8' codec can't decode"),
        ("[" * 600, "is not readable YAML (maximum recursion depth"),
    ],
)
def test_broken_maps(tmp_path, text, sentence):
    path = tmp_path / "map.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    found = _refused(path)
    assert found.startswith("The class map MAP ") and "\n" not in found
    assert sentence in found


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    with at_most(10):
        assert "does not exist" in _refused(tmp_path / "pipe.yaml")
        assert "does not exist" in _refused(tmp_path)
    assert "File name too long" in _refused("x" * 5000)


def test_categories_missing_from_the_map():
    with pytest.raises(DataError) as caught:
        require_complete({"can": "Metal", "toy": None}, ["can", "pot", "box", "toy"])
    assert str(caught.value) == (
        "The class map lacks 2 categories of the annotations, first 'box': map each to a class, or "
        "to null to drop it."
    )
