"""A run whose end fails, as a user sees it: exit code, line, and the run that is left."""

import json
import os

import pytest

from tests.conftest import run_command

SMALL = [
    "data=image_folder", "data.image_size=16", "data.batch_size=6", "model.units=[1,1,1]",
    "trainer.max_epochs=1", "trainer.memory_format=contiguous", "logger=none", "pictures=false",
    "report=false", "latency.backend={_target_: broken.in_nothing}",
]  # fmt: skip
BROKEN = """
def in_nothing(network, **_):
    raise RuntimeError("the board is not plugged in")
"""
MENDED = """
from lightning_modules.deployment import Runner

def in_nothing(network, **_):
    return Runner(lambda images: images)
"""


@pytest.fixture
def broken(homes, monkeypatch):
    """The backend's file, for the commands."""
    (homes / "site").mkdir()
    paths = [str(homes / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    (homes / "site" / "broken.py").write_text(BROKEN)
    return homes / "site" / "broken.py"


@pytest.mark.slow
def test_a_measurement_that_fails_costs_a_line(homes, folder, broken):
    run = homes / "run"
    done = run_command("run.py", *SMALL, f"data.root={folder}", f"hydra.run.dir={run}")
    said = "missing  latency: RuntimeError: the board is not plugged in (traceback in run.log)."
    assert said in done.stdout.splitlines() and "Traceback" not in done.stdout + done.stderr
    assert f"add it by: python run.py resume={run}" in done.stdout
    metrics = json.loads((run / "metrics.json").read_text())
    assert list(metrics["missing"]) == ["latency"] and "val/f1" in metrics
    assert "in in_nothing" in (run / "run.log").read_text()
    assert (run / "model" / "network.yaml").is_file() and (run / "card.md").is_file()


@pytest.mark.slow
def test_what_was_asked_for_is_an_error_and_a_resume_mends_it(homes, folder, broken):
    run = homes / "run"
    words = [f"data.root={folder}", f"hydra.run.dir={run}", "objective=cost/latency_ms"]
    failed = run_command("run.py", *SMALL, *words, check=False)
    assert failed.returncode == 1 and "Traceback" not in failed.stderr
    assert failed.stderr.splitlines()[-1] == (
        "error: objective=cost/latency_ms needs the latency, which is missing: RuntimeError: the "
        "board is not plugged in (traceback in run.log)."
    )
    assert (run / "model" / "network.yaml").is_file() and (run / "metrics.json").is_file()
    run_command("scripts/evaluate.py", str(run))
    broken.write_text(MENDED)
    run_command("run.py", f"resume={run}")
    metrics = json.loads((run / "metrics.json").read_text())
    assert "missing" not in metrics and metrics["cost/latency_ms"] > 0
    assert metrics["latency"]["backend"] == "broken.in_nothing" and "score/time" in metrics
