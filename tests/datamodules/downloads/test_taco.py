"""TACO's images by a small annotation file from a local server."""

import csv
import json

import pytest
from filelock import FileLock
from omegaconf import OmegaConf

from datamodules.downloads.root_folder import default_root
from datamodules.downloads.taco import download_taco
from datamodules.errors import DataError
from datamodules.sources.coco import Coco
from datamodules.sources.coco.coco_file import read_coco
from datamodules.sources.coco.images import require_present
from tests.conftest import ROOT
from tests.datamodules.downloads.conftest import image_bytes
from tests.file_server import Reply

SIZES = [(40, 30), (30, 40), (50, 20), (64, 64), (33, 35), (40, 30)]


def content_of(number):
    kind = "PNG" if number % 2 else "JPEG"  # under .jpg names, as in the real set
    orientation = 6 if number == 2 else None
    return image_bytes(SIZES[number], kind=kind, seed=number, orientation=orientation)


@pytest.fixture
def annotations(server):
    """Puts the images on the server; returns the annotations' content."""
    images = []
    for number, (width, height) in enumerate(SIZES):
        ending = "png" if number % 2 else "jpeg"
        name = f"batch_{number % 2}/{number:06}.{'jpg' if number % 3 else 'JPG'}"
        url = server.add(f"/{number}_o.{ending}", content_of(number))
        small = server.add(f"/{number}_z.jpg", image_bytes((10, 10)))
        entry = {"id": number, "width": width, "height": height, "file_name": name}
        images.append({**entry, "flickr_url": url, "flickr_640_url": small})
    boxes = [
        {"id": n, "image_id": n // 3, "category_id": n % 2, "bbox": [1, 1, 17 + n, 17]}
        for n in range(3 * len(SIZES))
    ]
    categories = [{"id": 0, "name": "Can"}, {"id": 1, "name": "Box"}]
    return {"images": images, "annotations": boxes, "categories": categories}


@pytest.fixture
def file(annotations, tmp_path):
    path = tmp_path / "given.json"
    path.write_text(json.dumps(annotations))
    return path


def listed(root):
    with (root / "missing.csv").open(newline="") as text:
        return {row["file"]: row["reason"] for row in csv.DictReader(text)}


def paths(root, annotations):
    return [root / image["file_name"] for image in annotations["images"]]


def test_everything_and_then_nothing(server, annotations, file, tmp_path, limits):
    root = tmp_path / "taco"
    server.add("/annotations.json", file.read_bytes(), Reply(drop_after=50))
    url = server.url("/annotations.json")
    report = download_taco(root, url=url, limits=limits())
    assert (report.total, report.fetched, report.missing) == (6, 6, {})
    assert (root / "annotations.json").read_bytes() == file.read_bytes()
    assert [path.read_bytes() for path in paths(root, annotations)] == [
        content_of(number) for number in range(6)
    ]
    assert not [request for request in server.log if request.path.endswith("_z.jpg")]
    assert Coco(root=str(root)).check()
    server.log.clear()
    assert download_taco(root, url=url, limits=limits()).fetched == 0
    assert download_taco(root, url=url, verify=True, limits=limits()).fetched == 0
    assert not server.log
    names = {path.name for path in root.iterdir()}
    assert names == {".download.lock", "annotations.json", "batch_0", "batch_1"}


def test_what_could_not_be_had(server, annotations, file, tmp_path, limits):
    root = tmp_path / "taco"
    server.usual = Reply()
    server.replies["/0_o.jpeg"] = [Reply(status=404)]
    server.files["/1_o.png"] = image_bytes((10, 10))  # the small one, or "no longer available"
    server.files["/2_o.jpeg"] = b"<!DOCTYPE html>"
    server.files["/3_o.png"] = content_of(3)[:-500]
    annotations["images"][4]["flickr_url"] = None
    file.write_text(json.dumps(annotations))
    report = download_taco(root, annotations=file, limits=limits())
    names = [image["file_name"] for image in annotations["images"]]
    assert report.fetched == 1 and report.total == 6
    reasons = listed(root)
    assert list(reasons) == names[:5]
    for name, said in zip(
        names,
        ["404 Not Found", "it has 10 x 10 pixels where the annotations say 30 x 40", "a web page",
         "cannot be decoded", "its address '' is not one of http or https"],
        strict=False,
    ):  # fmt: skip
        assert said in reasons[name]
    assert [path.exists() for path in paths(root, annotations)] == [False] * 5 + [True]
    assert len(server.of("/1_o.png")) == 3 and len(server.of("/0_o.jpeg")) == 1

    rest = json.loads((root / "annotations_available.json").read_text())
    assert [image["file_name"] for image in rest["images"]] == names[5:]
    assert {box["image_id"] for box in rest["annotations"]} == {5}
    available = read_coco(root / "annotations_available.json")
    require_present(root, [image.name for image in available.images])

    annotations["images"][4]["flickr_url"] = server.url("/4_o.jpeg")
    (root / "annotations.json").write_text(json.dumps(annotations))
    for number in (1, 2, 3):
        server.files[f"/{number}_o.{'png' if number % 2 else 'jpeg'}"] = content_of(number)
    server.log.clear()
    report = download_taco(root, limits=limits())
    assert (report.fetched, report.missing) == (5, {})
    assert len(server.log) == 5 and not server.of("/5_o.png")
    assert not (root / "missing.csv").exists()
    assert not (root / "annotations_available.json").exists()


def test_files_that_are_there_but_wrong(server, annotations, file, tmp_path, limits):
    root = tmp_path / "taco"
    download_taco(root, annotations=file, limits=limits())
    first, second, third, *_ = paths(root, annotations)
    first.write_bytes(b"")
    second.write_bytes(image_bytes((10, 10)))
    third.write_bytes(third.read_bytes()[:-500])  # its header is right
    server.log.clear()
    assert download_taco(root, limits=limits()).fetched == 2
    assert download_taco(root, verify=True, limits=limits()).fetched == 1
    assert [r.path for r in server.log][-1] == "/2_o.jpeg" and len(server.log) == 3
    assert third.read_bytes() == content_of(2)


def test_an_old_file_stays_until_the_new_one_is_right(server, annotations, file, tmp_path, limits):
    root = tmp_path / "taco"
    first = paths(root, annotations)[0]
    first.parent.mkdir(parents=True)
    first.write_bytes(b"old")
    server.replies["/0_o.jpeg"] = [Reply(drop_after=5, validator="none")] * 3
    assert len(download_taco(root, annotations=file, limits=limits()).missing) == 1
    assert first.read_bytes() == b"old"
    assert download_taco(root, limits=limits()).fetched == 1
    assert first.read_bytes() == content_of(0)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../a.jpg", "outside its folder"),
        ("/a.jpg", "outside its folder"),
        ("a/../../b.jpg", "outside its folder"),
        ("annotations.json", "which is no image's name"),
        ("batch_1/run.py", "which is no image's name"),
        ("", "has no valid 'file_name'"),
        ("a\0.jpg", "has no valid 'file_name'"),
        ("a\x1b[31m.jpg", "which is no image's name"),
        ("./batch_0//000000.JPG", "has the image file 'batch_0/000000.JPG' twice"),
    ],
)
def test_names_that_are_refused(server, annotations, file, tmp_path, limits, name, said):
    annotations["images"][1]["file_name"] = name
    file.write_text(json.dumps(annotations))
    with pytest.raises(DataError, match=said):
        download_taco(tmp_path / "taco", annotations=file, limits=limits())
    assert not server.log and not list(tmp_path.rglob("*.jpg"))


def test_annotations_that_cannot_be_used(server, file, tmp_path, limits):
    root = tmp_path / "taco"
    url = server.add("/annotations.json", b"<html>")
    with pytest.raises(DataError, match=r"it is no annotation file \(.* is not JSON"):
        download_taco(root, url=url, limits=limits())
    assert len(server.log) == 3 and not (root / "annotations.json").exists()
    with pytest.raises(DataError, match="nowhere.json does not exist"):
        download_taco(root, annotations=tmp_path / "nowhere.json", limits=limits())
    with pytest.raises(DataError, match="file:///etc/passwd.*not one of http or https"):
        download_taco(root, url="file:///etc/passwd", limits=limits())
    download_taco(root, annotations=file, limits=limits())
    download_taco(root, annotations=file, limits=limits())
    file.write_text(file.read_text() + " ")
    with pytest.raises(DataError, match="annotations.json is there and differs from"):
        download_taco(root, annotations=file, limits=limits())


def test_one_download_at_a_time(file, tmp_path, limits):
    (tmp_path / "taco").mkdir()
    with (
        FileLock(tmp_path / "taco" / ".download.lock"),
        pytest.raises(DataError, match="Another download into .*taco is running"),
    ):
        download_taco(tmp_path / "taco", annotations=file, limits=limits())
    assert download_taco(tmp_path / "taco", annotations=file, limits=limits()).fetched == 6


@pytest.mark.parametrize("given", [None, "/somewhere"])
def test_the_folder_is_the_one_that_the_data_is_read_from(monkeypatch, given):
    monkeypatch.delenv("MODEL_DIET_DATA", raising=False)
    if given is not None:
        monkeypatch.setenv("MODEL_DIET_DATA", given)
    assert str(default_root("taco")) == OmegaConf.load(ROOT / "conf" / "data" / "taco.yaml").root
