"""Folders as people have them, by the commands that they type."""

import csv
import json
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import run_command

ODD = "\udce9"  # a byte of Latin-1 in a name, as old archives leave it


def _pictures(folder: Path, count: int, channel: int, prefix: str = "") -> None:
    rng = np.random.default_rng(channel)
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = rng.integers(0, 120, (24, 24, 3), dtype=np.uint8)
        pixels[..., channel] += 120
        Image.fromarray(pixels).save(folder / f"{prefix}{number}.png")


def _run(root: Path, *words: str) -> Path:
    words = (f"data.root={root}", "data=image_folder", "data.image_size=32", *words)
    few = ("trainer.max_epochs=1", "logger=none", "latency.backend=null", "model=shufflenet_g3")
    run_command("run.py", *words, *few)
    return next((root.parent / "outputs").glob("*/*_image_folder"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "darwin", reason="its names are UTF-8")
def test_names_that_are_not_utf8_are_read_and_shown_escaped(homes):
    root = homes / "photos"
    for channel, name in enumerate((f"cat{ODD}", "dog")):
        _pictures(root / name, 12, channel, prefix=ODD)
        shutil.copy(root / name / f"{ODD}0.png", root / name / f"{ODD}copy.png")
    (root / "dog" / f"bad{ODD}.png").write_bytes(b"x")
    (root / "dog" / f"note{ODD}.txt").write_bytes(b"x")
    run = _run(root, "data.max_bad_images=1")
    log = (run / "run.log").read_text(encoding="utf-8")
    assert "classes   2: cat\\xe9, dog" in log
    assert "images    cat\\xe9 13, dog 14; " in log
    assert "left out  1 of no image format (dog/note\\xe9.txt)" in log
    assert "Traceback" not in log and "bad\\xe9.png" in log
    out = homes / "predictions.csv"
    said = run_command("scripts/predict.py", str(run), str(root), "--out", str(out)).stdout
    assert "left out    1 of no image format (dog/note\\xe9.txt)" in said
    rows = list(csv.DictReader(out.open(encoding="utf-8")))
    assert len(rows) == 26 and rows[0]["file"] == r"cat\xe9/\xe90.png"


@pytest.mark.slow
def test_odd_names_in_the_audit_and_in_evaluating(homes):
    root = homes / "photos"
    for channel, name in enumerate((f"cat{ODD}", "dog")):
        _pictures(root / name, 12, channel, prefix=ODD)
    said = run_command("scripts/audit_data.py", "data=image_folder", f"data.root={root}").stdout
    assert "images    cat\\xe9 12, dog 12; " in said
    assert (homes / "outputs" / "audit" / "image_folder" / "pictures.csv").is_file()
    measured = run_command("scripts/evaluate.py", str(_run(root))).stdout
    assert "cat\\xe9" in measured


@pytest.mark.slow
def test_an_archive_is_trained_on_whole(homes):
    photos = homes / "photos"
    for split, count in {"train": 8, "valid": 3}.items():
        for channel, name in enumerate(("blue", "green")):
            _pictures(homes / "made" / split / name, count, channel)
    with zipfile.ZipFile(photos.with_suffix(".zip"), "w") as archive:
        for file in sorted((homes / "made").rglob("*.png")):
            archive.write(file, Path("photos") / file.relative_to(homes / "made"))
    run = _run(photos.with_suffix(".zip"))
    log = (run / "run.log").read_text(encoding="utf-8")
    assert "train 16 of photos/train/, val 6 of photos/valid/" in log
    metrics = json.loads((run / "metrics.json").read_text())
    assert "val/f1" in metrics
    assert not list(homes.glob("photos/*"))  # nothing is unpacked beside it
    assert len(list((homes / "cache" / "unpacked").glob("photos_*/photos/train/*/*.png"))) == 16
