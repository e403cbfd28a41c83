"""What time decides in a round of pruning: groups of layers that are no faster stay whole."""

import pytest
import torch
from torch import nn

from compression import Context, Prune, compress
from compression.cost import count_macs, meta_copy
from compression.errors import CompressionError
from compression.pruning import width_times
from tests.compression.fake_latency import fake_latency  # noqa: F401

SIZE = (8, 8)
SAMPLE = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def network():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 16, 1), nn.Conv2d(16, 24, 1), nn.Conv2d(24, 16, 1)]
    body = [part for layer in layers for part in (layer, nn.ReLU())]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3)).eval()


@pytest.fixture
def by_inputs(monkeypatch):
    """Layers take time by their inputs alone, and the head none: the last group is no faster."""
    asked: list[int] = []

    def compare(layers):
        asked.append(len(layers))
        return [0.1 * getattr(layer, "in_channels", 5) for layer, _ in layers]

    monkeypatch.setattr(width_times, "compare_layers", compare)
    return asked


LEFT = {"4": "no faster (2.9 -> 2.9 ms at its smallest)"}


def plan_of(network, **settings) -> dict:
    step = Prune(**{"round_to": 2} | settings)
    return compress(network, [step], sample=SAMPLE)[1].entries[0].plan


@pytest.mark.parametrize("scope", ["global", "uniform", "isomorphic"])
def test_a_latency_target_leaves_what_is_no_faster(network, fake_latency, by_inputs, scope):  # noqa: F811
    plan = plan_of(network, target={"latency": 0.7}, scope=scope)
    assert plan["left"] == LEFT and [name for name, *_ in plan["layers"]] == ["0", "2"]
    assert all(after < before for _, after, before in plan["layers"])
    assert plan["latency_ms"][1] / plan["latency_ms"][0] == pytest.approx(0.7, abs=0.07)
    assert max(by_inputs) == width_times.ENDS**2  # nothing between them is asked for
    assert Prune.describe(plan)[1] == f"1 left alone: {LEFT['4']} (4)"


@pytest.mark.parametrize("asked", [{"ratio": 0.5}, {"target": {"macs": 0.6}}])
def test_so_does_a_preference_for_latency(network, by_inputs, asked):
    plan = plan_of(network, prefer="latency", **asked)
    assert plan["left"] == LEFT
    assert plan_of(network, **asked)["left"] == {}
    assert len(by_inputs) == 4  # the second time nothing was measured


def test_nothing_faster(network, fake_latency, monkeypatch):  # noqa: F811
    monkeypatch.setattr(width_times, "compare_layers", lambda layers: [1.0] * len(layers))
    says = r"leaves all layers alone, as none is faster .* \(0: no faster \(2 -> 2 ms .*prefer=macs"
    with pytest.raises(CompressionError, match=says):
        plan_of(network, prefer="latency", ratio=0.5)
    with pytest.raises(CompressionError, match="no setting of this step makes the network faster"):
        plan_of(network, target={"latency": 0.9})


def test_several_with_a_reason_of_one_kind_are_one_line(network):
    plan = plan_of(network, ratio=0.5)
    plan["left"] = {"a": "no faster (1 -> 2 ms at its smallest)", "b": "excluded"}
    one = "1 left alone: no faster (1 -> 2 ms at its smallest) (a)"
    assert Prune.describe(plan)[1:] == [one, "1 left alone: excluded"]
    plan["left"] |= {"c": "no faster (3 -> 3 ms at its smallest)"}
    both = "2 left alone: no faster at their smallest (a, c)"
    assert Prune.describe(plan)[1:] == [both, "1 left alone: excluded"]
    plan["left"] = {f"rnn{n}": f"its channels enter LSTM in stages.{n}.rnn" for n in range(6)}
    plan["not_refit"] = {"d": "6 windows are too few for its 16 inputs"}
    entering = "6 left alone: their channels enter LSTM (rnn0, rnn1, rnn2, rnn3 and 2 more)"
    few = "1 not refitted: 6 windows are too few for its 16 inputs (d)"
    assert Prune.describe(plan)[1:] == [entering, few]
    plan["not_refit"] |= {"e": "6 windows are too few for its 8 inputs"}
    few = "2 not refitted: too few windows for their inputs (d, e)"
    assert Prune.describe(plan)[1:] == [entering, few]
    plan["left"] = {"c": "no faster (3 -> 3 ms at its smallest)"}
    said = Prune.describe_layers(plan)
    assert said["c"] == "left alone: no faster (3 -> 3 ms at its smallest)"


def test_before_training_layers_are_not_measured(network, by_inputs):
    context = Context(
        sample=SAMPLE, image_size=SIZE, entry_cost={"macs": count_macs(network, SIZE)}
    )
    for prefer in ("macs", "latency"):
        step = Prune(scope="uniform", prefer=prefer, round_to=2)
        found = step.structural_plan(meta_copy(network), context, 0)
        assert found.exact is (prefer == "macs") and found.plan["left"] == {}
    assert by_inputs == []
