"""`trainer=ddp_sim`: two processes train, distil and resume; one directory, one voice."""

import json
import os
import signal
import subprocess
import time

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import ROOT, draw_folder, run_command, start_command

WORDS = [
    "data=image_folder", "data.image_size=32", "data.batch_size=4", "data.eval_batch_size=5",
    "model.units=[1,1,1]", "trainer=ddp_sim", "trainer.max_epochs=4", "logger=wandb",
    "trainer.memory_format=contiguous", "latency.backend=null", "callbacks=ema",
    "+compression=tucker", "compression.tucker.ratio=0.3", "compression.tucker.rounds=2",
    "+teacher=original",
]  # fmt: skip


def others_of(pid):
    """Processes whose parent is `pid`, started by Python's multiprocessing."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True).stdout
    rows = [line.split(maxsplit=2) for line in listed.splitlines()[1:]]
    return [int(child) for child, parent, args in rows if parent == str(pid) and "spawn" in args]


def is_running(pid):
    stat = ROOT.__class__(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def until(condition, seconds=300):
    limit = time.time() + seconds
    while not (found := condition()) and time.time() < limit:
        time.sleep(0.02)
    return found


@pytest.fixture
def photos(tmp_path):
    return draw_folder(tmp_path / "photos", train=9, val=7)


def start(run, photos):
    words = ["run.py", *WORDS, f"data.root={photos}", f"hydra.run.dir={run}"]
    return start_command(*words, stderr=subprocess.STDOUT)


@pytest.mark.slow
def test_two_processes_train_distil_compress_and_resume(homes, photos):
    whole = homes / "whole"
    said = run_command("run.py", *WORDS, f"data.root={photos}", f"hydra.run.dir={whole}").stdout
    # One voice, one directory.
    assert said.count("epoch 1/4") == 3
    assert said.count("before and after") == said.count("wandb sync") == 1
    assert len(list((whole / "wandb").glob("offline-run-*"))) == 1
    assert sorted(path.name for path in whole.glob("*.log")) == ["run.log"]
    assert {path.name for path in (homes / "outputs").iterdir()} == {
        "last_started",
        "last_finished",
    }
    rows = (whole / "metrics.csv").read_text().splitlines()
    assert len(rows) == 1 + 3 * 4
    # The reported figures are those of one process on all 21 images.
    metrics = json.loads((whole / "metrics.json").read_text())
    last = dict(zip(rows[0].split(","), rows[-1].split(","), strict=True))
    for name in ("val/f1", "val/accuracy", "val/loss"):
        assert float(last[name]) == pytest.approx(metrics[name], abs=1e-6)
    evaluated = run_command("scripts/evaluate.py", str(whole)).stdout
    assert f"{metrics['val/f1']:.4f}" in evaluated
    assert "21" in evaluated

    killed = homes / "killed"
    process = start(killed, photos)
    table = killed / "metrics.csv"
    assert until(lambda: table.is_file() and "01_tucker,0,1" in table.read_text())
    (other,) = others_of(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert until(lambda: not is_running(other), seconds=30), "the second process lives on"
    run_command("run.py", f"resume={killed}")
    expected = load_file(whole / "model" / "weights.safetensors")
    found = load_file(killed / "model" / "weights.safetensors")
    assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.slow
def test_a_killed_process_ends_the_run_with_a_sentence(homes, photos):
    process = start(homes / "run", photos)
    table = homes / "run" / "metrics.csv"
    assert until(lambda: table.is_file() and "00_train,0,0" in table.read_text())
    (other,) = others_of(process.pid)
    os.kill(other, signal.SIGKILL)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in said
    assert "The training process of device 1 was ended from outside (SIGKILL)" in said
    assert said.splitlines()[-1].endswith("continue from the last whole epoch with resume=last.")
    assert not (homes / "run" / "metrics.json").exists()
