"""Killed at ten random moments, a run always resumes to the uninterrupted run's weights."""

import random
import signal
import subprocess
import time

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import draw_folder, run_command, start_command

EPOCHS = 25
WORDS = [
    "data=image_folder", "data.image_size=32", "data.batch_size=6", "model.units=[1,1,1]",
    f"trainer.max_epochs={EPOCHS}", "trainer.memory_format=contiguous", "logger=none",
    "latency.backend=null", "callbacks=[ema,freeze]", "callbacks.freeze.epochs=8",
    "scheduler=cosine_restarts", "scheduler.cycle_epochs=6",
]  # fmt: skip
SEED = 0


def start(run, *words):
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return start_command("run.py", *WORDS, *words, f"hydra.run.dir={run}", **quiet)


def await_epochs(run, process, number):
    """Returns when so many epochs are over; a kill before the first repeats the whole run."""
    while process.poll() is None and epochs(run) < number:
        time.sleep(0.005)
    assert epochs(run) >= number


def epochs(run):
    table = run / "metrics.csv"
    return len(table.read_text().splitlines()) - 1 if table.is_file() else 0


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
    await_epochs(homes / "whole", whole, 1)
    began = time.perf_counter()
    assert whole.wait() == 0
    epoch = (time.perf_counter() - began) / EPOCHS
    expected = load_file(homes / "whole" / "model" / "weights.safetensors")
    draws = random.Random(SEED)
    for number in range(10):
        run = homes / f"killed{number}"
        process = start(run, *words)
        await_epochs(run, process, draws.randrange(1, EPOCHS - 1))
        time.sleep(draws.uniform(0, epoch))
        process.kill()
        assert process.wait() == -signal.SIGKILL
        run_command("run.py", f"resume={run}")
        found = load_file(run / "model" / "weights.safetensors")
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in expected), number
