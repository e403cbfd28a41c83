"""From images to an int8 file and its predictions, by the commands that a user types."""

import csv
import json

import pytest

from tests.conftest import run_command


@pytest.mark.slow
def test_train_quantise_export_predict(homes, folder, tmp_path):
    small = ["model=squeezenet", "data.image_size=32", "data.batch_size=8", "logger=none"]
    done = run_command(
        "run.py", "data=image_folder", f"data.root={folder}", *small, "trainer.max_epochs=2",
        "+compression=quantize", "compression.quantize.images=32",
        "compression.quantize.max_f1_drop=null",
    )  # fmt: skip
    assert "in int8 (percentile 99.99, 32 images)" in done.stdout
    run = (homes / "outputs" / "last_finished").read_text().strip()
    step = json.loads((homes / run / "metrics.json").read_text())["steps"][1]
    assert step["name"] == "01_quantize"
    for cost in ("cost/macs", "cost/params"):
        assert step["after"][cost] == step["before"][cost]
    assert step["after"]["cost/file_bytes"] < 0.5 * step["before"]["cost/file_bytes"]
    assert step["after"]["val/f1"] > step["before"]["val/f1"] - 0.2

    file = tmp_path / "network.onnx"
    done = run_command("scripts/export.py", "last", f"out={file}")
    assert "agreement   100.00%" in done.stdout and "on 18 validation images" in done.stdout
    for source, out in (("last", "a.csv"), (str(file), "b.csv")):
        words = [source, str(folder / "val"), "--out", str(tmp_path / out)]
        run_command("scripts/predict.py", *words)
    tables = [list(csv.DictReader((tmp_path / name).open())) for name in ("a.csv", "b.csv")]
    ours, theirs = ([(row["file"], row["class"]) for row in rows] for rows in tables)
    assert len(ours) == 18 and ours == theirs
    done = run_command("scripts/export.py", "last", "format=torch_export", check=False)
    assert done.returncode == 1 and "export it with format=onnx" in done.stderr
    words = ["+compression=tucker", "from_run=last", "logger=none"]
    done = run_command("run.py", *words, check=False)
    assert done.returncode == 1 and "holds an int8 network" in done.stderr
