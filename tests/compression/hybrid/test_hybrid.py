"""Pruning, SVD and Tucker under one budget: what is chosen, against the cost of what comes out."""

import json

import pytest
import torch
from torch import nn

from compression import SVD, Context, Hybrid, Prune, compress
from compression.cost import count_macs, meta_copy, network_cost
from compression.errors import CompressionError
from compression.factorization import layer_timer
from compression.hybrid.choice import HybridChoice
from compression.pruning import width_times
from compression.pruning.pruning_state import PruningState
from compression.sensitivity import scan_losses
from compression.structure import check_structure
from compression.target import RoundTarget, Target
from tests.compression.fake_latency import fake_latency

__all__ = ["fake_latency"]
SIZE = (8, 8)


@pytest.fixture
def network():
    """Of which a kxk layer has rank 4, a 1x1 layer too, and half of the channels of one nobody
    reads.
    """
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 1),
        nn.ReLU(),
        nn.Conv2d(32, 32, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 3),
    ).eval()
    with torch.no_grad():
        core = torch.randn(4, 4, 3, 3)
        sides = torch.randn(16, 4), torch.randn(4, 16)
        network[2].weight.copy_(torch.einsum("ou,uvhw,vi->oihw", sides[0], core, sides[1]) / 24)
        network[6].weight.copy_((torch.randn(32, 4) @ torch.randn(4, 32))[..., None, None] / 8)
        network[6].weight[:, ::2] = 0  # half of what 4 makes is not read
        network[4].weight[::2] *= 1e-3
        network[9].weight *= 20
    return network


@pytest.fixture
def batches():
    images = torch.rand(32, 3, *SIZE, generator=torch.Generator().manual_seed(1))
    return [(images, torch.zeros(32, dtype=torch.int64))]


def costs_of(network):
    measures = ("macs", "params", "file_bytes")
    return {measure: network_cost(network, measure, SIZE) for measure in measures}


@pytest.mark.parametrize(
    ("measure", "whiten", "refit"), [("macs", "auto", "auto"), ("params", False, True)]
)
def test_each_layer_gets_what_suits_it(network, batches, measure, whiten, refit):
    fit = {"whiten": whiten, "refit": refit}
    step = Hybrid(target={measure: 0.5}, round_to=1, importance="l2", **fit)
    smaller, recipe = compress(network, [step], sample=batches[0][0], batches=batches)
    plan = recipe.entries[0].plan
    ratio = costs_of(smaller)[measure] / costs_of(network)[measure]
    products = plan["tucker"]["layers"].values()
    assert all(("whitened" in own) is (whiten is not False) for own in products)
    assert plan["prune"] is None or "refit" in plan["prune"]
    assert 0.4 < ratio <= 0.5 and plan["why"].startswith(f"{ratio:.1%} of the")
    assert "2" in plan["tucker"]["layers"] and plan["tucker"]["layers"]["2"]["why"] == "hybrid"
    with torch.no_grad():
        said, now = network(batches[0][0]).softmax(1), smaller(batches[0][0]).softmax(1)
    assert (said.argmax(1) == now.argmax(1)).float().mean() > 0.9
    # Only the plan is needed to do it again.
    again = Hybrid.restructure(network, json.loads(json.dumps(plan)))
    again.load_state_dict(smaller.state_dict())
    with torch.no_grad():
        assert torch.equal(again(batches[0][0]).softmax(1), now)
    lines = Hybrid.describe(plan)
    assert lines[0] == f"now at {plan['why']}" and any(
        line.startswith("tucker: ") for line in lines
    )
    assert "rank" in Hybrid.describe_layers(plan)["2"]


@pytest.mark.slow
def test_costs_are_those_of_the_network(network, batches):
    context = Context(sample=batches[0][0], image_size=SIZE, train_batches=lambda: batches)
    step = Hybrid(target={"macs": 0.4}, round_to=1)
    state = PruningState.of(network, context, 0, step.pruning)

    def scanned(part, treatments):
        return scan_losses(part, treatments, network, context)

    choice = HybridChoice.of(step.pruning, step.factorizations, state, network, context, scanned)
    for measure in ("macs", "params", "file_bytes"):
        now = costs_of(network)[measure]
        for ratio in (0.9, 0.6, 0.3):
            goal = RoundTarget(Target(measure, ratio), {measure: now})
            counts, ranks, cost = choice.at(goal, now)
            plan = step._composed(choice.state, counts, ranks, network, context)
            found = costs_of(Hybrid.restructure(Hybrid().apply(network, empty()), plan))[measure]
            assert found == cost <= ratio * now


def empty():
    """A plan that does nothing."""
    return {"why": "", "prune": None, "svd": None, "tucker": None}


def test_a_latency_target(network, batches, fake_latency, monkeypatch):
    whole = count_macs(network, SIZE)

    def compare(layers):  # as the network's clock says
        return [6 * sum(p.numel() for p in layer.parameters()) * 64 / whole for layer, _ in layers]

    monkeypatch.setattr(layer_timer, "compare_layers", compare)
    monkeypatch.setattr(width_times, "compare_layers", compare)
    step = Hybrid(target={"latency": 0.6}, round_to=1)
    _, recipe = compress(network, [step], sample=batches[0][0], batches=batches)
    plan = recipe.entries[0].plan
    assert plan["latency_ms"][1] / plan["latency_ms"][0] == pytest.approx(0.6, abs=0.06)
    assert plan["predicted_ms"] == pytest.approx(plan["latency_ms"][1], rel=0.1)
    assert "the times of its layers add up to" in plan["why"]


def test_how_weights_are_fitted_is_handed_to_the_parts():
    step = Hybrid(whiten=True, refit=False)
    assert step.pruning.refit is False
    assert {part.whiten for part in step.factorizations.values()} == {True}
    with pytest.raises(CompressionError, match="hybrid.whiten=sometimes does not exist"):
        Hybrid(whiten="sometimes")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"exclude": ["layer9"]}, "No layer matches the pattern 'layer9'"),
        ({"exclude": ["*"]}, "no layer to factorise, and prune can take no channels out"),
        ({"target": {"macs": 0.001}}, "target.macs=0.001 cannot be reached: this step can"),
        ({"target": {"macs": 1e-4}, "rounds": 2}, "(in round 2 of 2: 0.0001) cannot"),
        ({"target": {"params": 1.0}}, "hybrid would change no layer (100.0% of the parameters"),
    ],
)
def test_what_structure_refuses_before_training(network, settings, sentence):
    with pytest.raises(CompressionError) as refusal:
        check_structure(meta_copy(network), {"compression.x": Hybrid(**settings)}, SIZE)
    assert str(refusal.value).startswith("compression.x: ") and sentence in str(refusal.value)


def test_what_scans_may_turn_out_is_not_refused(network, batches):
    step = Hybrid(target={"macs": 0.4}, round_to=1, importance="taylor")
    later = SVD(target={"macs": 0.7})  # of the network after it, or else of the one before
    chain = {"compression.x": step, "compression.y": later}
    assert check_structure(meta_copy(network), chain, SIZE) == []
    context = Context(sample=batches[0][0], image_size=SIZE, entry_cost=costs_of(network))
    found = step.structural_plan(meta_copy(network), context, 0)
    assert not found.exact and found.plan["prune"]
    macs = count_macs(Hybrid.restructure(meta_copy(network), found.plan), SIZE)
    assert macs <= 0.4 * count_macs(network, SIZE)


def test_a_latency_target_is_tried_on_random_weights(network, fake_latency, monkeypatch):
    timed = []

    def compare(layers):
        timed.append(len(layers))
        return [sum(p.numel() for p in layer.parameters()) / 1e4 for layer, _ in layers]

    monkeypatch.setattr(layer_timer, "compare_layers", compare)
    monkeypatch.setattr(width_times, "compare_layers", compare)
    assert check_structure(network, {"x": Hybrid(target={"latency": 0.5}, round_to=1)}, SIZE) == []
    assert not timed  # the network of the fewest MACs is fast enough
    # A quarter of the time is overhead, so no network is faster than that.
    with pytest.raises(CompressionError, match=r"compression\.x: target\.latency=0\.2 cannot"):
        step = Hybrid(target={"latency": 0.2}, round_to=1)
        check_structure(network, {"compression.x": step}, SIZE)
    assert timed


def test_a_network_without_prunable_channels_is_factorised_alone():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 64))
    assert check_structure(meta_copy(network), {"x": Hybrid(target={"macs": 0.75})}, SIZE) == []
    images = torch.rand(32, 3, *SIZE)
    batches = [(images, torch.zeros(32, dtype=torch.int64))]
    step = Hybrid(target={"macs": 0.75}, importance="l2")
    smaller, recipe = compress(network, [step], sample=images, batches=batches)
    assert smaller[1][0].out_features == 192 * 64 * 3 // 4 // (192 + 64)
    said = recipe.summary()
    assert any("prune: can take no channels out of this network" in line for line in said)
    with pytest.raises(CompressionError, match=r"target\.macs=0\.01 cannot be reached"):
        compress(network, [Hybrid(target={"macs": 0.01})], sample=images, batches=batches)


def test_refusals(network, batches):
    with pytest.raises(CompressionError, match="hybrid weighs .* give batches="):
        compress(network, [Hybrid()], sample=batches[0][0])
    tuned = []  # nothing is done first, not even an earlier step
    with pytest.raises(CompressionError, match="hybrid weighs"):
        compress(
            network, [Prune(), Hybrid()], sample=batches[0][0], fine_tune=lambda *_: tuned.append(1)
        )
    assert not tuned
    assert Hybrid().target == Target("macs", 0.6)
    with pytest.raises(CompressionError, match=r"has no key|There is no key"):
        Hybrid(ratio=0.5)
