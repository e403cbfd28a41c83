"""Ranks by the optimum, against every choice of them."""

import json
from itertools import product

import pytest
import torch
from torch import nn

from compression import Context, compress
from compression.bisection import UnreachableTargetError
from compression.cost import count_macs, count_params
from compression.errors import CompressionError
from compression.factorization import layer_timer, optimal_ranks
from compression.factorization.layer_timer import LayerTimer
from compression.factorization.optimal_ranks import OptimalRanks
from compression.factorization.svd import SVD
from compression.factorization.tucker import Tucker
from compression.layer_moments import InputMoments
from compression.sensitivity import LossCurves, scan_losses
from compression.target import RoundTarget, Target
from tests.compression.fake_latency import fake_latency

__all__ = ["fake_latency"]
SIZE = (8, 8)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 1),
        nn.ReLU(),
        nn.Conv2d(16, 24, 1),
        nn.ReLU(),
        nn.Conv2d(24, 16, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 3),
    ).eval()


@pytest.fixture
def batches():
    images = torch.rand(16, 3, *SIZE, generator=torch.Generator().manual_seed(1))
    return [(images, torch.zeros(16, dtype=torch.int64))]


@pytest.fixture
def context(network, batches):
    moments = InputMoments(network, lambda: batches)
    return Context(
        sample=batches[0][0], image_size=SIZE, train_batches=lambda: batches, moments=moments
    )


def scanned(step, network, context):
    candidates, _ = step.candidates(network, SIZE)
    points = scan_losses(
        step, step.treatments(network, context, step.scan_ratios), network, context
    )
    return OptimalRanks(LossCurves(points)), candidates


@pytest.mark.parametrize("measure", ["macs", "params"])
def test_it_equals_brute_force(network, context, batches, measure, monkeypatch):
    monkeypatch.setattr(optimal_ranks, "RATIOS", 8)
    step = SVD(ranks="optimal", target={measure: 0.7})
    rule, candidates = scanned(step, network, context)
    options = [rule.options(candidate, measure, None)[0] for candidate in candidates]
    assert [len(own) for own in options] == [3, 5, 5, 1]
    whole = {"macs": count_macs(network, SIZE), "params": count_params(network)}[measure]
    others = whole - sum(own[0].cost for own in options)
    best = min(
        sum(option.loss for option in choice)
        for choice in product(*options)
        if others + sum(option.cost for option in choice) <= 0.7 * whole
    )
    smaller, recipe = compress(network, [step], sample=batches[0][0], batches=batches)
    plan = recipe.entries[0].plan
    assert plan["layers"].keys() | plan["skipped"].keys() >= {"0", "2", "4", "7"}
    lost = sum(
        next(o.loss for o in own if (o.treatment or [0]) == plan["layers"][name]["rank"])
        for own, name in zip(options, ("0", "2", "4", "7"), strict=True)
        if name in plan["layers"]
    )
    assert lost == pytest.approx(best) and best > 0
    cost = {"macs": count_macs(smaller, SIZE), "params": count_params(smaller)}[measure]
    assert cost <= 0.7 * whole
    assert f"{cost / whole:.1%} of the" in plan["target"]
    assert "alone it loses" in next(iter(plan["layers"].values()))["why"]


def test_validation_images_stay_unseen_and_the_plan_replays(network, batches):
    class Unseen(list):
        def __iter__(self):
            raise AssertionError

    step = SVD(ranks="optimal", target={"macs": 0.8})
    smaller, recipe = compress(
        network, [step], sample=batches[0][0], batches=batches, val_batches=Unseen()
    )
    again = SVD.restructure(network, json.loads(json.dumps(recipe.entries[0].plan)))
    assert [p.shape for p in again.parameters()] == [p.shape for p in smaller.parameters()]


def test_by_the_clock_no_layer_is_touched_that_is_not_faster(network, context, monkeypatch):
    def compare(layers):  # the layer of 16 outputs is slower, whatever becomes of it
        (whole, _), *products = layers
        slower = whole.out_channels == 16
        return [1.0, *(1.0 if slower else 0.05 * layer[0].out_channels for layer, _ in products)]

    monkeypatch.setattr(layer_timer, "compare_layers", compare)
    step = SVD(ranks="optimal", target={"macs": 0.7})
    rule, candidates = scanned(step, network, context)
    timer = LayerTimer()
    options, slow = rule.options(candidates[1], "latency", timer)
    assert [option.cost for option in options] == [
        1.0,
        *(0.05 * o.treatment[0] for o in options[1:]),
    ]
    assert slow == ""
    options, slow = rule.options(candidates[2], "latency", timer)
    assert len(options) == 1 and slow == "no faster (1 -> 1 ms at best)"
    # 10 ms in all, of which the second layer has one and can be brought to 0.1.
    goal = RoundTarget(Target("latency", 0.95), {"latency": 10.0})
    met, report = rule.meet(goal, 10.0, candidates, timer)
    assert met.rank(candidates[2], 0, 1) == [0] and met.nothing_of("4").startswith("no faster")
    assert met.rank(candidates[1], 0, 1) == [8] and report.startswith("94.0% of the latency")
    with pytest.raises(UnreachableTargetError, match=r"between 0\.9100 and 1\.0000 of the latency"):
        rule.meet(RoundTarget(Target("latency", 0.5), goal.entry_cost), 10.0, candidates, timer)


def test_a_latency_target(network, batches, fake_latency, monkeypatch):
    def compare(layers):  # half of what the network's clock says
        whole = count_macs(network, SIZE)
        return [3 * sum(p.numel() for p in layer.parameters()) * 64 / whole for layer, _ in layers]

    monkeypatch.setattr(layer_timer, "compare_layers", compare)
    step = SVD(ranks="optimal", target={"latency": 0.7})
    _, recipe = compress(network, [step], sample=batches[0][0], batches=batches)
    plan = recipe.entries[0].plan
    assert plan["latency_ms"][1] / plan["latency_ms"][0] == pytest.approx(0.7, abs=0.07)
    # As the clock of layers says half, so does their sum of what is saved.
    saved = plan["latency_ms"][0] - plan["latency_ms"][1]
    assert plan["latency_ms"][0] - plan["predicted_ms"] == pytest.approx(saved / 2, rel=0.02)
    error = plan["predicted_ms"] / plan["latency_ms"][1] - 1
    assert (
        f"the times of its layers add up to {plan['predicted_ms']:.3g} ms ({error:+.0%})"
        in (plan["target"])
    )


def test_refusals(network, batches):
    with pytest.raises(CompressionError, match=r"svd.ranks=optimal needs a target, as svd.target"):
        SVD(ranks="optimal")
    step = SVD(ranks="optimal", target={"macs": 0.7})
    with pytest.raises(CompressionError, match="svd weighs .* give batches="):
        compress(network, [step], sample=batches[0][0])
    step = Tucker(ranks="optimal", target={"macs": 0.01})
    wide = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3), *list(network)[5:])
    with pytest.raises(CompressionError, match=r"can bring the network to between 0\.\d+ and 1"):
        compress(wide, [step], sample=batches[0][0], batches=batches)
    with pytest.raises(CompressionError, match="needs a scan first"):
        OptimalRanks().options(step.candidates(wide, SIZE)[0][0], "macs", None)
    with pytest.raises(CompressionError, match="meet comes first"):
        OptimalRanks().rank(step.candidates(wide, SIZE)[0][0], 0, 1)
