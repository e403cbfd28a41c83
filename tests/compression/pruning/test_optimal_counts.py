"""Channels by the optimum: against every choice of them, and on networks."""

import json
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from compression import compress
from compression.bisection import UnreachableTargetError
from compression.cost import count_macs, count_params
from compression.errors import CompressionError
from compression.pruning import width_times
from compression.pruning.optimal_counts import WidthCosts, optimal_counts
from compression.pruning.prune import Prune
from compression.target import RoundTarget, Target
from tests.compression.fake_latency import fake_latency

__all__ = ["fake_latency"]
SIZE = (8, 8)
PARTS = 4


class Chain:
    """Groups in a row: tensor n has the channels of groups n - 1 and n for sides."""

    def __init__(self, count):
        self.names = [f"g{n}" for n in range(count)]
        self.groups = [self.Group(n, count) for n in range(count)]
        self.allowed = [list(range(1, PARTS + 1))] * count
        self.tensors = {f"w{n}" for n in range(count + 1)}

    class Group:
        granularity = PARTS

        def __init__(self, number, count):
            self.axis_counts = {(f"w{number}", 0): 1, (f"w{number + 1}", 1): 1}

    def whole(self):
        return dict.fromkeys(range(len(self.groups)), PARTS)

    def shape(self, name, counts):
        number = int(name[1:])
        return torch.Size([counts.get(number, PARTS), counts.get(number - 1, PARTS)])


class Losses:
    """As of curves: a table by group."""

    def __init__(self, table):
        self.table = table

    def loss(self, name, kept):
        return self.table[name][round(kept * PARTS) - 1]


@st.composite
def chains(draw):
    count = draw(st.integers(1, 4))
    table = {}
    for n in range(count):
        falls = draw(st.lists(st.integers(0, 9), min_size=PARTS - 1, max_size=PARTS - 1))
        table[f"g{n}"] = [sum(falls[k:]) for k in range(PARTS)]  # 0 where all is kept
    factors = draw(st.lists(st.integers(1, 9), min_size=count + 1, max_size=count + 1))
    return Chain(count), Losses(table), factors, draw(st.floats(0.2, 1))


def lost(losses, counts):
    return sum(losses.loss(f"g{n}", k / PARTS) for n, k in counts.items())


@settings(max_examples=80, deadline=None)
@given(chains())
def test_no_single_change_is_better_and_the_goal_holds(instance):
    chain, losses, factors, ratio = instance
    costs = WidthCosts(chain, lambda name, shape: factors[int(name[1:])] * shape.numel(), 3.0)
    whole = costs.whole(chain.whole())
    goal = RoundTarget(Target("macs", ratio), {"macs": whole})
    choices = [dict(enumerate(c)) for c in product(range(1, PARTS + 1), repeat=len(chain.groups))]
    fitting = [c for c in choices if costs.whole(c) <= goal.cost]
    if not fitting:
        with pytest.raises(UnreachableTargetError):
            optimal_counts(costs, losses, goal)
        return
    counts, report = optimal_counts(costs, losses, goal)
    assert counts in fitting and report.startswith(f"{costs.whole(counts) / whole:.1%} of the MACs")
    near = [c for c in fitting if sum(c[n] != counts[n] for n in c) == 1]
    near = [c for c in near if all(abs(c[n] - counts[n]) <= 1 for n in c)]
    assert all(lost(losses, c) >= lost(losses, counts) for c in near)
    # Nor is it ever worse than the same ratio of all.
    alike = [c for c in fitting if len(set(c.values())) == 1]
    assert all(lost(losses, c) >= lost(losses, counts) for c in alike)


@settings(max_examples=60, deadline=None)
@given(chains())
def test_where_costs_add_up_it_equals_brute_force(instance):
    chain, losses, factors, ratio = instance
    # Only outputs cost: each group's costs are its own.
    costs = WidthCosts(chain, lambda name, shape: factors[int(name[1:])] * shape[0], 0.0)
    whole = costs.whole(chain.whole())
    goal = RoundTarget(Target("macs", ratio), {"macs": whole})
    choices = [dict(enumerate(c)) for c in product(range(1, PARTS + 1), repeat=len(chain.groups))]
    fitting = [c for c in choices if costs.whole(c) <= goal.cost]
    if fitting:
        counts, _ = optimal_counts(costs, losses, goal)
        assert lost(losses, counts) == min(lost(losses, c) for c in fitting)


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


class Unseen(list):
    """Validation images that nobody may look at."""

    def __iter__(self):
        raise AssertionError


@pytest.mark.parametrize("measure", ["macs", "params"])
def test_the_network_meets_its_target(network, batches, measure):
    step = Prune(ratios="optimal", target={measure: 0.6}, round_to=2)
    sample = batches[0][0]
    smaller, recipe = compress(
        network, [step], sample=sample, batches=batches, val_batches=Unseen()
    )
    counted = [
        {"macs": count_macs(n, SIZE), "params": count_params(n)}[measure]
        for n in (network, smaller)
    ]
    assert 0.5 <= counted[1] / counted[0] <= 0.6
    plan = json.loads(json.dumps(recipe.entries[0].plan))
    assert plan["why"].startswith(f"taylor, optimal: {counted[1] / counted[0]:.1%} of the")
    assert "nats" in plan["why"]
    again = Prune.restructure(network, plan)
    assert [p.shape for p in again.parameters()] == [p.shape for p in smaller.parameters()]


def test_a_group_that_is_no_faster_is_left(network, batches, fake_latency, monkeypatch):
    asked = []

    def compare(layers):  # times that depend on inputs only, and of the head on nothing
        asked.append(len(layers))
        return [0.1 * getattr(layer, "in_channels", 5) for layer, _ in layers]

    monkeypatch.setattr(width_times, "compare_layers", compare)
    step = Prune(ratios="optimal", target={"latency": 0.8}, round_to=2)
    _, recipe = compress(network, [step], sample=batches[0][0], batches=batches)
    plan = recipe.entries[0].plan
    assert plan["latency_ms"][1] / plan["latency_ms"][0] == pytest.approx(0.8, abs=0.08)
    assert plan["left"] == {"4": "no faster (2.9 -> 2.9 ms at its smallest)"}
    assert [name for name, *_ in plan["layers"]] == ["0", "2"]
    apart = plan["predicted_ms"] / plan["latency_ms"][1] - 1
    assert f"add up to {plan['predicted_ms']:.3g} ms ({apart:+.0%})" in plan["target"]
    assert max(asked) == width_times.POINTS**2


def test_there_must_be_images(network, batches):
    step = Prune(ratios="optimal", target={"macs": 0.6})
    with pytest.raises(CompressionError, match="prune weighs .* give batches="):
        compress(network, [step], sample=batches[0][0])
    with pytest.raises(CompressionError, match=r"ratios=optimal needs a target"):
        Prune(ratios="optimal", ratio=0.5)
