"""A network is pruned, trained in 8 bits with a teacher, killed, resumed, exported and used."""

import csv
import json

import pytest

from tests.conftest import run_command
from tests.integration.test_resume import stop_when

pytest.importorskip("torchao", reason="torchao is not installed: pip install '.[qat]'")
WORDS = [
    "data=image_folder", "data.image_size=32", "data.batch_size=6", "model.units=[1,1,1]",
    "trainer.max_epochs=2", "trainer.memory_format=contiguous", "logger=none",
    "latency.backend=null", "+compression=[prune,quantize_aware]", "+teacher=original",
    "compression.prune.ratio=0.7", "compression.quantize_aware.images=32",
    "compression.quantize_aware.fine_tuning.epochs=3",
    "compression.quantize_aware.max_f1_drop=null",
]  # fmt: skip


@pytest.mark.slow
def test_pruned_trained_in_8_bits_killed_and_resumed(homes, folder):
    whole, killed = homes / "whole", homes / "killed"
    done = run_command("run.py", *WORDS, f"data.root={folder}", f"hydra.run.dir={whole}")
    assert "in int8 (percentile 99.99, 32 images)" in done.stdout
    assert "02_quantize_aware: 3 epochs, taught by original" in done.stdout
    assert "Traceback" not in done.stderr and "Warning" not in done.stderr
    steps = json.loads((whole / "metrics.json").read_text())["steps"]
    assert [step["name"] for step in steps] == ["00_train", "01_prune", "02_quantize_aware"]
    assert steps[2]["epoch"] == 2
    assert steps[2]["after"]["cost/macs"] == steps[1]["after"]["cost/macs"]

    stop_when(killed, folder, stage="02_quantize_aware,0", epoch=1, words=WORDS)
    run_command("run.py", f"resume={killed}")
    files = [run / "model" / "network.int8.onnx" for run in (whole, killed)]
    assert files[0].read_bytes() == files[1].read_bytes()

    file, table = homes / "network.onnx", homes / "answers.csv"
    done = run_command("scripts/export.py", str(killed), f"out={file}")
    assert "agreement   100.00%" in done.stdout
    run_command("scripts/predict.py", str(file), str(folder / "val"), "--out", str(table))
    assert len(list(csv.DictReader(table.open()))) == 18
