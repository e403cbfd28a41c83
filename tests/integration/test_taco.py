"""TACO's official annotations with made images of the listed sizes, through the whole program."""

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
