"""A run killed in the middle of an epoch and resumed ends with the uninterrupted run's weights."""

import json
import os
import signal
import subprocess
import time

import pytest
import torch
from safetensors.torch import load_file

from lightning_modules.runs import holder
from tests.conftest import run_command, start_command

WORDS = [
    "data=image_folder", "data.image_size=32", "data.batch_size=6", "model.units=[1,1,1]",
    "trainer.max_epochs=4", "trainer.memory_format=contiguous", "logger=none",
    "latency.backend=null", "+compression=tucker", "compression.tucker.ratio=0.3",
    "compression.tucker.rounds=2", "+teacher=original",
]  # fmt: skip


def stop_when(run, folder, *, stage, epoch, by=signal.SIGKILL, words=WORDS):
    """Starts a run and stops it as soon as a stage's table shows an epoch; what it said."""
    process = start_command(
        "run.py", *words, f"data.root={folder}", f"hydra.run.dir={run}", stdout=subprocess.DEVNULL
    )
    wanted, limit = f"{stage},{epoch},", time.time() + 300
    while process.poll() is None and time.time() < limit:
        table = run / "metrics.csv"
        if table.is_file() and wanted in table.read_text():
            break
        time.sleep(0.002)
    assert process.poll() is None, process.stderr.read()
    os.kill(process.pid, by)
    _, said = process.communicate(timeout=60)
    assert not (run / "metrics.json").exists()
    return said


@pytest.fixture
def uninterrupted(homes, folder):
    run = homes / "whole"
    run_command("run.py", *WORDS, f"data.root={folder}", f"hydra.run.dir={run}")
    return run


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "epoch"), [("00_train,0", 1), ("01_tucker,1", 1)])
def test_resumed_runs_equal_the_uninterrupted_one(homes, folder, uninterrupted, stage, epoch):
    expected = load_file(uninterrupted / "model" / "weights.safetensors")
    figures = json.loads((uninterrupted / "metrics.json").read_text())
    table = (uninterrupted / "metrics.csv").read_text().splitlines()
    run = homes / "killed"
    stop_when(run, folder, stage=stage, epoch=epoch)
    run_command("run.py", f"resume={run}")
    found = load_file(run / "model" / "weights.safetensors")
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    resumed = json.loads((run / "metrics.json").read_text())
    assert resumed["val/f1"] == figures["val/f1"]
    assert resumed["steps"] == figures["steps"]
    rows = (run / "metrics.csv").read_text().splitlines()
    assert [row.rsplit(",", 1)[0] for row in rows] == [r.rsplit(",", 1)[0] for r in table]


@pytest.mark.slow
def test_resume_last_with_more_epochs(homes, folder):
    run = homes / "killed"
    stop_when(run, folder, stage="00_train,0", epoch=1)
    run_command("run.py", "resume=last", "trainer.max_epochs=5")
    rows = (run / "metrics.csv").read_text().splitlines()
    assert sum(row.startswith("00_train") for row in rows) == 5
    again = run_command("run.py", "resume=last", check=False)
    assert again.returncode == 1
    assert "is finished" in again.stderr


@pytest.mark.slow
def test_ctrl_c_says_how_to_continue(homes, folder):
    run = homes / "stopped"
    said = stop_when(run, folder, stage="00_train,0", epoch=1, by=signal.SIGINT)
    assert "Traceback" not in said
    assert said.splitlines()[-1].endswith(f"python run.py resume={run}")
    run_command("run.py", f"resume={run}")
    assert (run / "model" / "network.yaml").is_file() and not (run / ".lock").exists()


@pytest.mark.slow
def test_a_run_at_work_is_not_resumed(homes, folder):
    run = homes / "run"
    words = [*WORDS[:7], f"data.root={folder}", f"hydra.run.dir={run}", "trainer.max_epochs=500"]
    process = start_command("run.py", *words, stdout=subprocess.DEVNULL)
    while process.poll() is None and not (run / "metrics.csv").is_file():
        time.sleep(0.01)
    refused = run_command("run.py", f"resume={run}", check=False)
    assert (process.poll(), refused.returncode) == (None, 1)
    assert f"{run} is at work: process {process.pid} on this host" in refused.stderr
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert holder(run) is None


@pytest.mark.slow
def test_what_changed_between_kill_and_resume(homes, folder):
    """A conf file that changed does not matter; an image that did is refused."""
    options = homes / "options" / "optimizer" / "mine.yaml"
    options.parent.mkdir(parents=True)
    options.write_text("defaults: [adamw]\nlr: 0.002\n")
    run, twin = homes / "killed", homes / "twin"
    words = [
        f"--config-dir={homes}/options", "optimizer=mine", *WORDS[:8], "trainer.max_epochs=12",
    ]  # fmt: skip
    run_command("run.py", *words, f"data.root={folder}", f"hydra.run.dir={twin}")
    stop_when(run, folder, stage="00_train,0", epoch=2, words=words)
    options.unlink()
    image = next(folder.glob("train/blue/*.png"))
    before, status = image.read_bytes(), image.stat()
    image.write_bytes(next(folder.glob("train/red/*.png")).read_bytes())
    refused = run_command("run.py", f"resume={run}", check=False)
    assert refused.returncode == 1
    assert "the train images are others (36 then, 36 now). Put back" in refused.stderr
    assert not (run / "metrics.json").exists()
    image.write_bytes(before)
    os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))
    run_command("run.py", f"resume={run}")
    found, expected = (load_file(at / "model" / "weights.safetensors") for at in (run, twin))
    assert all(torch.equal(found[key], expected[key]) for key in expected)
