"""Commands on machines with little of something: the disk is full, workers die, odd names."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, draw_folder, run_command, start_command

SMALL = ["data=image_folder", "data.image_size=32", "data.batch_size=8", "logger=none",
         "pictures=false", "report=false", "latency.backend=null"]  # fmt: skip


@pytest.mark.slow
def test_a_folder_as_it_is_typed(homes, monkeypatch):
    monkeypatch.setenv("HOME", str(homes))
    root = draw_folder(homes / "été, it's (1) #&[2]", train=4, val=2)
    done = run_command("run.py", *SMALL, f"data.root=~/{root.name}", "trainer.max_epochs=1")
    (run,) = (path.parent for path in (homes / "outputs").rglob("metrics.json"))
    assert "error" not in done.stderr
    assert yaml.safe_load((run / ".hydra" / "config.yaml").read_text())["data"]["root"] == str(root)
    assert " val " in run_command("scripts/evaluate.py", str(run)).stdout


@pytest.mark.slow
def test_a_full_disk_ends_a_run_that_can_go_on(homes, folder):
    """The size of its files is limited, which ends writing as a full disk does."""
    words = [*SMALL, f"data.root={folder}", "trainer.max_epochs=3"]
    command = shlex.join([sys.executable, "run.py", *words])
    limited = subprocess.run(
        ["sh", "-c", f"ulimit -f 1200; exec {command}"],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert limited.returncode == 1 and "Traceback" not in limited.stderr, limited.stderr
    said = limited.stderr.splitlines()[-1]
    assert ".ckpt cannot be read or written (File too large)" in said
    assert "Then continue from the last whole epoch with: python run.py resume=" in said
    assert not list((homes / "outputs").rglob("*.part"))
    run_command("run.py", said.split("run.py ")[1])
    assert list((homes / "outputs").rglob("metrics.json"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for children in /proc")
def test_a_killed_worker_ends_the_run(homes, folder):
    words = [*SMALL, f"data.root={folder}", "data.num_workers=2", "trainer.max_epochs=500"]
    process = start_command("run.py", *words, cold=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    end = time.monotonic() + 120
    while not list((homes / "outputs").rglob("last.ckpt")) and time.monotonic() < end:
        time.sleep(0.2)
    os.kill(int(children.read_text().split()[0]), signal.SIGKILL)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1 and "Traceback" not in stderr, stderr
    said = stderr.splitlines()[-1]
    assert "A process that prepares batches was killed (Killed), perhaps" in said
    assert "python run.py resume=" in said


@pytest.mark.slow
def test_an_image_that_is_gone_during_the_training(homes, folder):
    words = [*SMALL, f"data.root={folder}", "data.num_workers=2", "trainer.max_epochs=500"]
    process = start_command("run.py", *words, "data.cache=false", cold=True)
    end = time.monotonic() + 120
    while not list((homes / "outputs").rglob("last.ckpt")) and time.monotonic() < end:
        time.sleep(0.2)
    (folder / "train" / "red" / "3.png").unlink()
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1 and "Traceback" not in stderr, stderr
    said = stderr.splitlines()[-1]
    assert "red/3.png cannot be decoded" in said and "python run.py resume=" in said


@pytest.mark.slow
def test_a_trial_without_memory_fails_alone(homes, folder):
    words = [*SMALL, f"data.root={folder}", "trainer.max_epochs=1", "model.units=[1,1,1]"]
    done = run_command("run.py", "-m", *words, "model.width=8000,0.25", check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "error: 1 of 2 trials failed; the reasons stand above and in their" in done.stderr
    (failed,) = (homes / "outputs").rglob("failed.txt")  # a layer of 800 GB
    assert failed.read_text().startswith("The memory is full (")
    assert len(list((homes / "outputs").rglob("metrics.json"))) == 1
