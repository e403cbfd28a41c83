"""COCO detection sets through the whole program: a small one, and TACO's official annotations."""

import json
import os
import shutil

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.conftest import SHARED, needs_shared, run_command

ANNOTATIONS = SHARED / "data" / "taco" / "annotations.json"


def make_images(root):
    """One picture for each listed size; images of that size are links to it."""
    shutil.copy(ANNOTATIONS, root / "annotations.json")
    rng = np.random.default_rng(0)
    made = {}
    for image in json.loads(ANNOTATIONS.read_text())["images"]:
        size = image["width"], image["height"]
        path = root / image["file_name"]
        path.parent.mkdir(exist_ok=True)
        if size in made:
            os.link(made[size], path)
            continue
        coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
        coarse.resize(size, Image.Resampling.BILINEAR).save(path, format="JPEG", quality=60)
        made[size] = path


def make_detection_set(root, *, whole=False):
    """Thirty pictures with two boxes each; some things are odd, and unless `whole` the last image
    is too small.
    """
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for n in range(30):
        pixels = rng.integers(0, 90, (60, 80, 3), dtype=np.uint8)
        pixels[5:35, 10:50, n % 3] += 150
        name = f"photos/{n}.jpg"
        images.append({"id": n, "file_name": name, "width": 80, "height": 60})
        boxes = [(n % 3, [10, 5, 40, 30]), ((n + 1) % 3, [50, 40, 60, 60])]
        annotations += [{"image_id": n, "category_id": c, "bbox": box} for c, box in boxes]
        exif = Image.Exif()
        if n % 2:  # as a phone held upright writes it
            pixels, exif[0x0112] = np.rot90(pixels), 6
        if n == 29 and not whole:
            pixels = pixels[:-1]
        (root / "photos").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(pixels)).save(root / name, exif=exif)
    annotations[4]["iscrowd"] = 1
    names = ("bottle", "can", "cup", "toy")
    categories = [{"id": n, "name": name} for n, name in enumerate(names)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "instances.json").write_text(json.dumps(content))


@pytest.mark.slow
def test_a_coco_detection_set(homes):
    root = homes / "mine"
    root.mkdir()
    make_detection_set(root)
    words = [
        "run.py", "data=coco", f"data.root={root}", "data.source.annotations=instances.json",
        "data.source.square=false", "data.resize_mode=pad", "data.image_size=32", "debug=fast",
        "logger=none", "latency.backend=null", f"hydra.run.dir={homes}/run",
    ]  # fmt: skip
    refused = run_command(*words, check=False)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert refused.stderr.splitlines()[-1] == (
        "error: 1 images cannot be used and data.max_bad_images=0: repair them, remove them or "
        f"raise that number. The first: The image {root}/photos/29.jpg is 79 x 60 pixels and "
        "annotated as 80 x 60: its boxes would be wrong."
    )
    done = run_command(*words, "data.max_bad_images=1")
    told = done.stdout + done.stderr
    for sentence in (
        "left out  1 box of crowds (photos/2.jpg)",
        "read as   instances.json: clipped 30 of 60 boxes to their image",
        "read as   instances.json: no box is left of toy, so these classes are left out",
    ):
        assert told.count(sentence) == 1, told
        assert (homes / "run" / "run.log").read_text().count(sentence) == 1
    assert f"Skipped: The image {root}/photos/29.jpg is 79 x 60 pixels" in told
    saved = yaml.safe_load((homes / "run" / "model" / "network.yaml").read_text())
    assert saved["class_names"] == ["bottle", "can", "cup"]


@pytest.mark.slow
@needs_shared("data", "taco", "annotations.json")
def test_mnasnet_trains_on_all_of_taco(homes):
    root = homes / "taco"
    root.mkdir()
    make_images(root)
    run_command(
        "run.py", "model=mnasnet", "data=taco", f"data.root={root}", "trainer.max_epochs=1",
        "trainer.limit_train_batches=5", "logger=none", f"hydra.run.dir={homes}/run",
    )  # fmt: skip
    metrics = json.loads((homes / "run" / "metrics.json").read_text())
    assert {"val/f1", "test/f1", "cost/latency_ms"} <= set(metrics)
    saved = yaml.safe_load((homes / "run" / "model" / "network.yaml").read_text())
    names = ["Metal", "Paper", "Paperpack", "Plastic", "Plasticbag", "Styrofoam"]
    assert saved["class_names"] == names
