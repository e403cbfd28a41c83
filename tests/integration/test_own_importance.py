"""An importance and a penalty in a file of the user's own, named on the command line."""

import json

import pytest

from lightning_modules.networks import load_network
from tests.conftest import run_command

OWN = """
from compression.pruning import Importance


class Largest(Importance):
    def of_weights(self, weight):
        return weight.abs() ** 8


def shrink(network):
    return sum(parameter.abs().sum() for parameter in network.parameters())
"""
SMALL = [
    "model=shufflenet_g3", "model.units=[1,2,1]", "data=synthetic", "data.image_size=32",
    "data.source.scenes=40", "data.batch_size=16", "trainer.max_epochs=1", "logger=none",
    "pictures=false", "latency.backend=null", "+compression=prune",
]  # fmt: skip


@pytest.mark.slow
def test_named_on_the_command_line_and_not_needed_to_load_the_run(homes, monkeypatch):
    (homes / "own_criterion.py").write_text(OWN)
    monkeypatch.setenv("PYTHONPATH", str(homes))  # of the commands, not of this process
    own = [
        "compression.prune.importance={_target_: own_criterion.Largest}",
        "compression.prune.penalty={_target_: own_criterion.shrink}",
        "compression.prune.fine_tuning.prepare_epochs=1", f"hydra.run.dir={homes}/run",
    ]  # fmt: skip
    run_command("run.py", *SMALL, *own)
    (entry,) = json.loads((homes / "run" / "model" / "recipe.json").read_text())["entries"]
    assert entry["plan"]["why"].startswith("Largest, global: ")
    assert "own_criterion" not in "".join(
        path.read_text(errors="ignore") for path in (homes / "run" / "model").iterdir()
    )
    network = load_network(homes / "run")
    assert network.recipe.summary()[0].startswith("prune: kept ")
