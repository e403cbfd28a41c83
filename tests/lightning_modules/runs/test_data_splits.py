import json
from pathlib import Path

import pytest

from lightning_modules.runs import build_source, data_identity, without_paths
from lightning_modules.runs.data_splits import source_identity


def test_the_identity_of_data_tells_no_path(homes, compose_config):
    def identity(root, file):
        words = ["data=image_folder", f"data.root={root}", f"data.split.file={file}"]
        return data_identity(compose_config(*words).data)

    photos, file = homes / "my photos", homes / "sides.csv"
    found = identity(photos, file)
    assert str(homes) not in json.dumps(found) and found["name"] == "image_folder"
    assert found["source"]["_target_"].startswith("datamodules.sources.")
    assert found == identity(photos, file)
    assert found != identity(photos, homes / "others.csv")
    assert found != identity(homes, file)


def test_a_relative_root_means_where_it_leads(homes, compose_config, monkeypatch):
    (homes / "photos").mkdir()
    monkeypatch.chdir(homes)
    relative = data_identity(compose_config("data=image_folder", "data.root=photos").data)
    absolute = compose_config("data=image_folder", f"data.root={homes / 'photos'}")
    assert relative == data_identity(absolute.data)


@pytest.mark.parametrize("path", ["/home/someone/photos", "~/photos", "~someone/photos"])
def test_digests_stand_for_paths(path):
    hidden = without_paths({"a": [path], "b": "photos/x", "c": 3})
    assert hidden["b"] == "photos/x" and hidden["c"] == 3
    assert hidden["a"][0].startswith("path sha256 ") and path not in json.dumps(hidden)
    assert without_paths(hidden) == hidden  # so that it compares with what is written today
    assert without_paths(str(Path(path) / "y")) != hidden["a"][0]


@pytest.mark.parametrize("option", ["fashion_mnist", "huggingface", "image_folder"])
def test_where_images_are_written_out_reaches_the_source_and_is_no_identity(
    homes, compose_config, option
):
    def composed(place):
        words = [f"data={option}", "data.root=photos", f"cache_dir={homes / place}"]
        return compose_config(*words).data

    source = build_source(composed("here"))  # in a process in which none was built before, too
    assert source.unpacked_dir == str(homes / "here" / "unpacked")
    assert data_identity(composed("here")) == data_identity(composed("there"))


@pytest.mark.parametrize("word", ["boxes=raw", "box_format=xyxy", "missing=skip"])
def test_settings_that_came_later_keep_the_identity_of_earlier_data(homes, compose_config, word):
    def composed(*words):
        return source_identity(compose_config("data=coco", f"data.root={homes}", *words).data)

    earlier = {"_target_", "root", "annotations", "class_map", "margin", "min_size", "square"}
    assert composed().keys() == earlier | {"how_to_get"}
    assert composed(f"data.source.{word}").keys() == composed().keys() | {word.partition("=")[0]}
