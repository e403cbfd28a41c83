"""Plans have the keys that are declared for them, now as when they were saved."""

import json

import pytest
import torch
from torch import nn

from compression import Prune, PruneLayers, PruneWeights, compress
from compression.pruning.prune_layers import PruneLayersPlan
from compression.pruning.prune_plan import PrunePlan
from compression.pruning.prune_weights import PruneWeightsPlan
from tests.compression.fake_latency import fake_latency
from tests.compression.pruning.test_prune_layers import stack
from tests.conftest import ROOT

__all__ = ["fake_latency"]

PLANS = {"prune": PrunePlan, "prune_layers": PruneLayersPlan, "prune_weights": PruneWeightsPlan}
BATCHES = [(torch.rand(4, 3, 16, 16), torch.tensor([0, 1, 2, 0]))]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return stack(1, 1, 1)


def require_declared(name: str, plan: dict) -> None:
    declared = PLANS[name]
    assert declared.__required_keys__ <= plan.keys()
    assert plan.keys() <= declared.__required_keys__ | declared.__optional_keys__


@pytest.mark.parametrize(
    "step",
    [
        Prune(ratio=0.5, round_to=1),
        PruneLayers(keep=[3, 2]),
        PruneLayers(target={"macs": 0.7}, choose="importance"),
        PruneWeights(),
    ],
)
def test_a_plan_has_the_declared_keys(step):
    _, recipe = compress(network(), [step], sample=BATCHES[0][0], batches=BATCHES)
    require_declared(step.name, recipe.entries[0].plan)


def test_a_plan_for_latency_has_the_declared_keys(fake_latency):
    for step in (
        Prune(target={"latency": 0.8}, round_to=1),
        PruneLayers(target={"latency": 0.8}),
    ):
        _, recipe = compress(network(), [step], sample=BATCHES[0][0])
        require_declared(step.name, recipe.entries[0].plan)
        assert {"target", "latency_ms"} <= recipe.entries[0].plan.keys()


def test_saved_plans_have_the_declared_keys():
    found = 0
    for file in (ROOT / "tests" / "fixtures" / "runs").rglob("recipe.json"):
        for entry in json.loads(file.read_text())["entries"]:
            name = entry["step"].rpartition(".")[0].rpartition(".")[2]
            if name in PLANS:
                require_declared(name, entry["plan"])
                found += 1
    assert found
