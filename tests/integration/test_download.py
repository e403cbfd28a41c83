"""`scripts/download.py`, as a user types it, against a server on this machine."""

import io
import json
import signal
import time
import zipfile

import numpy as np
import pytest
from PIL import Image

from datamodules.sources import Coco, ImageFolder
from tests.conftest import SHARED, needs_shared, run_command, start_command
from tests.datamodules.downloads.conftest import image_bytes
from tests.file_server import Reply, serving

ANNOTATIONS = SHARED / "data" / "taco" / "annotations.json"
QUICK = ("--backoff", "0.05", "--attempts", "3", "--stall-timeout", "20")


@pytest.fixture
def server(homes, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as running:
        yield running


def download(*words, check=True):
    return run_command("scripts/download.py", *words, *QUICK, check=check)


def start_download(*words):
    return start_command("scripts/download.py", *words, *QUICK)


def wait_until(true, seconds=20.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def put_on_server(server, path, *, every, scale):
    """The official annotations of every n-th image, their images made and served here."""
    content = json.loads(ANNOTATIONS.read_text())
    content["images"] = content["images"][::every]
    kept = {image["id"] for image in content["images"]}
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] in kept]
    for box in content["annotations"]:
        box["bbox"] = [side / scale for side in box["bbox"]]
    made = {}
    for number, image in enumerate(content["images"]):
        image["width"], image["height"] = image["width"] // scale, image["height"] // scale
        size = image["width"], image["height"]
        kind = "PNG" if image["flickr_url"].endswith("png") and scale > 1 else "JPEG"
        key = size if scale == 1 else number  # of the full size one picture for each
        if key not in made:
            made[key] = picture(size) if scale == 1 else image_bytes(size, kind=kind, seed=number)
        image["flickr_url"] = server.add(f"/{image['id']}_o.{kind.lower()}", made[key])
        image["flickr_640_url"] = server.url("/never")
    path.write_text(json.dumps(content))
    return content["images"]


def picture(size):
    coarse = np.random.default_rng(size[0]).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    out = io.BytesIO()
    image = Image.fromarray(coarse).resize(size, Image.Resampling.BILINEAR)
    image.save(out, format="JPEG", quality=60)
    return out.getvalue()


def tree(root):
    files = (path for path in root.rglob("*") if path.is_file())
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in files
        if not path.name.endswith(".lock")
    }


def path_of(image):
    return image["flickr_url"].split("/", 3)[3]


@needs_shared("data", "taco", "annotations.json")
def test_taco_killed_in_the_middle_and_continued(server, homes):
    file, whole, killed = homes / "given.json", homes / "whole", homes / "data" / "taco"
    images = put_on_server(server, file, every=25, scale=8)
    assert len(images) == 60
    done = download("taco", f"root={whole}", "--annotations", str(file))
    assert f"taco      60 of 60 images in {whole}, 60 of them new" in done.stdout
    assert f"next      python run.py data=taco data.root={whole}" in done.stdout
    assert {name: content for name, content in tree(whole).items() if "/" in name} == {
        image["file_name"]: server.files[f"/{path_of(image)}"] for image in images
    }

    server.log.clear()
    words = ("taco", "--annotations", str(file), "--workers", "4")
    halves = {
        f"/{path_of(image)}": len(server.files[f"/{path_of(image)}"]) // 2
        for image in images[30:34]
    }
    for path, half in halves.items():
        server.replies[path] = [Reply(stall_after=half)]
    process = start_download(*words)
    wait_until(lambda: sum(r.sent == halves.get(r.path) for r in server.log) == 4)
    wait_until(lambda: len(list(killed.rglob("*.part"))) == 4)
    time.sleep(0.3)
    process.kill()
    process.communicate()
    server.release.set()
    assert process.returncode == -signal.SIGKILL
    there = {image["file_name"] for image in images if (killed / image["file_name"]).exists()}
    parts = {
        f"/{path_of(image)}": (killed / f"{image['file_name']}.part").stat().st_size
        for image in images[30:34]
    }
    assert len(there) == 30 and min(parts.values()) > 1000

    server.log.clear()
    done = download(*words)
    assert f"60 of 60 images in {killed}, 30 of them new" in done.stdout
    assert "next      python run.py data=taco\n" in done.stdout
    assert tree(killed) == tree(whole)
    asked = [request.path for request in server.log]
    assert sorted(asked) == sorted(
        f"/{path_of(image)}" for image in images if image["file_name"] not in there
    )
    for request in server.log:
        size = parts.get(request.path)
        assert request.range == (None if size is None else f"bytes={size}-")
        assert request.status == (200 if size is None else 206)
        assert request.sent == len(server.files[request.path]) - (size or 0)

    server.log.clear()
    assert "60 of 60 images" in download(*words).stdout and not server.log


@needs_shared("data", "taco", "annotations.json")
def test_taco_with_a_server_that_misbehaves(server, homes):
    file, root = homes / "given.json", homes / "taco"
    images = put_on_server(server, file, every=60, scale=16)
    paths = [f"/{path_of(image)}" for image in images]
    server.replies[paths[0]] = [Reply(drop_after=900), Reply(status=500)]
    server.replies[paths[1]] = [Reply(status=429, headers={"Retry-After": "1"})]
    server.replies[paths[2]] = [Reply(body=b"<!DOCTYPE html>")]
    server.replies[paths[3]] = [Reply(drop_after=500), Reply(ignore_range=True)]
    server.replies[paths[4]] = [Reply(drop_after=50)] * 3
    server.replies[paths[5]] = [Reply(status=404)]
    server.replies[paths[6]] = [Reply(body=image_bytes((8, 8)))] * 3
    words = ("taco", f"root={root}", "--annotations", str(file))
    done = download(*words, check=False)
    names = [image["file_name"] for image in images]
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stdout.splitlines()[0] == "taco ..."
    assert "22 of 25 images" in done.stdout and "22 of them new" in done.stdout
    assert f"  {names[4]}: the connection broke (it ended too early)\n" in done.stdout
    assert f"  {names[5]}: the server answered 404 Not Found\n" in done.stdout
    assert f"  {names[6]}: it has 8 x 8 pixels where the annotations say" in done.stdout
    assert "data.source.annotations=annotations_available.json" in done.stdout
    assert done.stderr == (
        f"error: 3 of 25 images could not be had ({root}/missing.csv says why); the same command "
        "tries them again.\n"
    )
    listed = (root / "missing.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in listed] == ["file", *names[4:7]]
    server.log.clear()
    done = download(*words)
    assert sorted(request.path for request in server.log) == sorted(paths[4:7])
    assert server.of(paths[4])[0].range == "bytes=150-"
    assert {name: content for name, content in tree(root).items() if "/" in name} == {
        name: server.files[path] for name, path in zip(names, paths, strict=True)
    }
    # The 25 images show no piece of Styrofoam.
    classes = "Metal", "Paper", "Paperpack", "Plastic", "Plasticbag"
    assert Coco(root=str(root), class_map="taco6", min_size=0).check() == classes


def test_control_c(server, homes):
    content = bytes(2**20)
    url = server.add("/a.zip", content, Reply(stall_after=2**19))
    process = start_download("trashnet", f"url={url}")
    part = homes / "data" / "trashnet" / "dataset-resized.zip.part"
    wait_until(lambda: part.is_file() and part.stat().st_size > 2**18)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert not server.release.is_set()  # the file was still waited for
    assert said == "Interrupted; the same command continues where it was.\n"
    assert process.returncode == 130 and part.is_file()


def trashnet_zip():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for position, name in enumerate(
            ("cardboard", "glass", "metal", "paper", "plastic", "trash")
        ):
            for number in range(12):
                content = image_bytes((64, 48), seed=20 * position + number)
                archive.writestr(f"dataset-resized/{name}/{name}{number}.jpg", content)
                archive.writestr(f"__MACOSX/dataset-resized/{name}/._{name}{number}.jpg", b"x")
    return out.getvalue()


def test_trashnet_killed_and_continued(server, homes):
    content = trashnet_zip()
    url = server.add("/a.zip", content, Reply(stall_after=len(content) // 2))
    root = homes / "data" / "trashnet"
    process = start_download("trashnet", f"url={url}")
    wait_until(lambda: server.log and server.log[0].sent == len(content) // 2)
    time.sleep(0.3)
    process.kill()
    process.communicate()
    server.release.set()
    size = (root / "dataset-resized.zip.part").stat().st_size
    done = download("trashnet", f"url={url}")
    assert f"72 of 72 images in {root / 'dataset-resized'}, 72 of them new" in done.stdout
    assert "next      python run.py data=trashnet\n" in done.stdout
    assert (root / "dataset-resized.zip").read_bytes() == content
    assert server.log[1].range == f"bytes={size}-"
    assert server.log[1].sent == len(content) - size > 0
    folder = ImageFolder(root=str(root / "dataset-resized"))
    assert folder.check() == ("cardboard", "glass", "metal", "paper", "plastic", "trash")
    assert len(list(folder.root.glob("*/*.jpg"))) == 72


@pytest.mark.slow
@needs_shared("data", "taco", "annotations.json")
def test_all_of_taco(server, homes):
    file, root = homes / "given.json", homes / "data" / "taco"
    images = put_on_server(server, file, every=1, scale=1)
    server.replies[f"/{path_of(images[700])}"] = [Reply(drop_after=5_000)]
    done = download("taco", "--annotations", str(file))
    assert "1500 of 1500 images" in done.stdout
    assert len(server.log) == 1501 and len(list(root.glob("*/*"))) == 1500
    server.log.clear()
    assert "0 of them new" in download("taco").stdout and not server.log
