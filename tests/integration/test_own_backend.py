"""A backend in a file of the user's own, in which a run measures its latency."""

import json

import pytest

from tests.conftest import run_command

OWN = """
import torch
from lightning_modules.deployment import Runner


def halves(network, *, resize_mode, threads, file):
    @torch.inference_mode()
    def call(images):
        parts = torch.from_numpy(images).tensor_split(2)
        return torch.cat([network(part).softmax(1) for part in parts if len(part)]).numpy()

    return Runner(call)


"""
SMALL = [
    "model=shufflenet_g3", "model.units=[1,1,1]", "data=synthetic", "data.image_size=32",
    "data.source.scenes=40", "data.batch_size=16", "trainer.max_epochs=1", "logger=none",
    "pictures=false", "report=false",
]  # fmt: skip


@pytest.mark.slow
def test_a_latency_in_a_backend_of_ones_own(homes, monkeypatch):
    (homes / "own_backend.py").write_text(OWN)
    monkeypatch.setenv("PYTHONPATH", str(homes))
    word = "latency.backend={_target_: own_backend.halves}"
    done = run_command("run.py", *SMALL, word, f"hydra.run.dir={homes}/run")
    assert "latency  own_backend.halves, batch 1, 1 thread(s), " in done.stdout
    metrics = json.loads((homes / "run" / "metrics.json").read_text())
    assert metrics["latency"]["backend"] == "own_backend.halves" and metrics["cost/latency_ms"] > 0


def test_a_backend_that_cannot_be_imported_stops_a_run_before_it_begins(homes, monkeypatch):
    (homes / "own_backend.py").write_text("import no_such_library\n")
    monkeypatch.setenv("PYTHONPATH", str(homes))
    word = "latency.backend={_target_: own_backend.halves}"
    done = run_command("run.py", *SMALL, word, f"hydra.run.dir={homes}/run", check=False)
    assert done.returncode == 1 and "error: latency.backend: own_backend.halves cannot be" in (
        done.stderr
    )
    assert "Traceback" not in done.stderr and not (homes / "run" / "model").exists()
