"""Killed at ten random moments, a run always resumes to the uninterrupted run's weights."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import ROOT, draw_folder, run_command

WORDS = [
    "data=image_folder", "data.image_size=32", "data.batch_size=6", "model.units=[1,1,1]",
    "trainer.max_epochs=25", "trainer.memory_format=contiguous", "logger=none",
    "latency.backend=null", "callbacks=[ema,freeze]", "callbacks.freeze.epochs=8",
    "scheduler=cosine_restarts", "scheduler.cycle_epochs=6",
]  # fmt: skip
SEED = 0


def start(run, *words):
    return subprocess.Popen(
        [sys.executable, "run.py", *WORDS, *words, f"hydra.run.dir={run}"],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def await_training(run, process):
    """Returns when the first epoch is over; all earlier kills would repeat the whole run."""
    while process.poll() is None and not (run / "metrics.csv").is_file():
        time.sleep(0.005)
    assert (run / "metrics.csv").is_file()


@pytest.mark.slow
def test_ten_kills(homes):
    photos = draw_folder(homes / "photos")
    teacher = homes / "teacher"
    run_command(
        "run.py", "data=image_folder", f"data.root={photos}", "data.image_size=32", "logger=none",
        "data.batch_size=6", "model.units=[1,1,1]", "trainer.max_epochs=2", "latency.backend=null",
        f"hydra.run.dir={teacher}",
    )  # fmt: skip
    words = [f"data.root={photos}", f"+teacher.t.run={teacher}"]
    whole = start(homes / "whole", *words)
    await_training(homes / "whole", whole)
    began = time.perf_counter()
    assert whole.wait() == 0
    seconds = time.perf_counter() - began
    expected = load_file(homes / "whole" / "model" / "weights.safetensors")
    draws = random.Random(SEED)
    landed = set()
    for number in range(10):
        run = homes / f"killed{number}"
        process = start(run, *words)
        await_training(run, process)
        time.sleep(draws.uniform(0, seconds))
        alive = process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        landed.add(len((run / "metrics.csv").read_text().splitlines()))
        if alive and not (run / "metrics.json").is_file():
            run_command("run.py", f"resume={run}")
        found = load_file(run / "model" / "weights.safetensors")
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in expected), number
    assert len(landed) > 4, "the kills fell on few epochs"
