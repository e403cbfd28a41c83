"""The scan, against layers treated by hand; and plans that take their shares from it."""

import copy
import json
from dataclasses import replace

import pytest
import torch
from torch import nn
from torchmetrics.functional.classification import multiclass_f1_score

from compression import Context, compress
from compression.cost.macs import count_macs, count_params
from compression.errors import CompressionError
from compression.factorization.tucker import Tucker
from compression.pruning.channel_budget import _numbered
from compression.pruning.prune import Prune
from compression.pruning.prune_layers import PruneLayers
from compression.recalibration import recalibrate
from compression.sensitivity.sensitivity_scan import WHOLE, scan
from tests.compression.fake_latency import fake_latency

__all__ = ["fake_latency"]
SIZE = (12, 12)


def planted() -> nn.Module:
    """Of layer 5, a quarter of the outputs count, which see 4 mixtures of its 16 inputs."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 3),
    )
    with torch.no_grad():
        core = torch.randn(32, 4, 3, 3)
        network[5].weight.copy_(torch.einsum("orhw,ri->oihw", core, torch.randn(4, 16)) / 24)
        silent = [n for n in range(32) if n % 4]  # not read, and small too
        network[5].weight[silent] *= 1e-4
        network[5].bias[silent] = 0
        network[9].weight[:, silent] = 0
    return network.eval()


@pytest.fixture
def network():
    return planted()


@pytest.fixture
def batches(network):
    """Images whose labels are what the network says: its F1 is 1."""
    images = torch.rand(48, 3, *SIZE, generator=torch.Generator().manual_seed(1))
    whole = copy.deepcopy(network)
    recalibrate(whole, [images])
    with torch.no_grad():
        logits = whole(images)
        network[9].bias -= logits.mean(0)  # all classes occur
        labels = (logits - logits.mean(0)).argmax(1)
    assert len(labels.unique()) == 3
    return [(images[:24], labels[:24]), (images[24:], labels[24:])]


@pytest.fixture
def context(batches):
    return Context(sample=batches[0][0], image_size=SIZE, train_batches=lambda: batches)


def by_hand(network: nn.Module, batches) -> float:
    """Macro-F1 after BatchNorm is estimated anew."""
    recalibrate(network, batches)
    with torch.no_grad():
        said = torch.cat([network.eval()(images) for images, _ in batches])
    labels = torch.cat([labels for _, labels in batches])
    return multiclass_f1_score(said, labels, 3, average="macro").item()


def test_a_factorised_layer_by_hand(network, context, batches):
    before = copy.deepcopy(network.state_dict())
    step = Tucker()
    found = scan(step, step.treatments(network, context, (0.25, 0.5)), network, context)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert found.f1 == pytest.approx(by_hand(copy.deepcopy(network), batches))
    assert [(p.layer, p.ratio) for p in found.points if p.layer != "0"] == [
        ("2", 0.25), ("2", 0.5), ("5", 0.25), ("5", 0.5)
    ]  # fmt: skip
    twin, _ = compress(network, [Tucker(ranks={"2": [4, 4]})], sample=batches[0][0])
    point = next(p for p in found.points if p.layer == "2")
    assert point.what == "rank 4 x 4" and point.kept == 0.25
    assert point.f1 == pytest.approx(by_hand(twin, batches)) and point.f1 < found.f1
    assert (point.macs, point.params) == (count_macs(twin, SIZE), count_params(twin))
    assert found.lost(point) == found.f1 - point.f1
    # 1x1 to 4, 3x3 and 1x1 back instead of 16 x 16 x 9, at each of 144 places
    assert found.macs - point.macs == 144 * (16 * 16 * 9 - 16 * 4 - 4 * 4 * 9 - 4 * 16)
    assert found.saved(point) == 1 - point.macs / found.macs


def test_a_cut_layer_by_hand(network, context, batches):
    step = Prune(round_to=1, importance="l2")
    found = scan(step, step.treatments(network, context, (0.25,)), network, context)
    assert [p.layer for p in found.points] == ["0", "2", "5"]
    assert found.points[2].what == "8 of 32 channels by l2"
    twin = copy.deepcopy(network)
    kept = network[5].weight.detach().square().flatten(1).sum(1)
    kept += network[9].weight.detach().square().sum(0)
    kept = kept.sort(descending=True).indices[:8].sort().values
    twin[5] = nn.Conv2d(16, 8, 3, padding=1)
    twin[9] = nn.Linear(8, 3)
    with torch.no_grad():
        twin[5].weight.copy_(network[5].weight[kept])
        twin[5].bias.copy_(network[5].bias[kept])
        twin[9].weight.copy_(network[9].weight[:, kept])
        twin[9].bias.copy_(network[9].bias)
    assert found.points[2].f1 == pytest.approx(by_hand(twin, batches))
    assert found.points[2].macs == count_macs(twin, SIZE)


def test_it_goes_on_where_it_broke_off(network, context, tmp_path):
    context = replace(context, scans=tmp_path)
    asked = []

    def evaluate(candidate: nn.Module) -> dict[str, float]:
        asked.append(count_macs(candidate, SIZE))
        if len(asked) == 4:
            raise KeyboardInterrupt
        return {"val/f1": 1 / len(asked)}

    context = replace(context, evaluate=evaluate)
    step = Prune(round_to=1)
    treatments = step.treatments(network, context, (0.25, 0.5))
    with pytest.raises(KeyboardInterrupt):
        scan(step, treatments, network, context)
    found = scan(step, treatments, network, context)
    assert len(asked) == 8  # the whole and six points, one of them twice
    assert [p.f1 for p in found.points] == [1 / n for n in (2, 3, 5, 6, 7, 8)] and found.f1 == 1
    assert scan(step, treatments, network, context) == found and len(asked) == 8
    # More shares join the same file; other weights have another one.
    scan(step, step.treatments(network, context, (0.25, 0.75)), network, context)
    assert len(asked) == 11 and len(list(tmp_path.glob("*.lock"))) == 1
    (file,) = tmp_path.glob("*/figures.json")
    assert len(json.loads(file.read_text())) == 10 and WHOLE in file.read_text()
    with torch.no_grad():
        network[0].weight[0, 0, 0, 0] += 1e-3
    scan(step, step.treatments(network, context, (0.5,)), network, context)
    assert len(asked) == 15 and len(list(tmp_path.glob("*.lock"))) == 2


def test_what_does_not_work_is_left_out(context):
    class Even(nn.Module):
        def forward(self, x):
            assert x.shape[1] != 4
            return x

    torch.manual_seed(0)
    tail = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3))
    network = nn.Sequential(nn.Conv2d(3, 16, 1), nn.BatchNorm2d(16), Even(), *tail).eval()
    step = Prune(round_to=1)
    found = scan(step, step.treatments(network, context, (0.25, 0.5)), network, context)
    assert [point.what for point in found.points] == ["8 of 16 channels by taylor"]


@pytest.mark.parametrize("measure", ["macs", "params"])
def test_the_insensitive_layer_is_cut_first(network, batches, measure):
    step = Prune(ratios="sensitivity", target={measure: 0.75}, round_to=1)
    smaller, recipe = compress(network, [step], sample=batches[0][0], batches=batches)
    count = {"macs": lambda n: count_macs(n, SIZE), "params": count_params}[measure]
    assert count(smaller) / count(network) == pytest.approx(0.75, rel=0.02)
    plan = recipe.entries[0].plan
    left = {name: after / before for name, after, before in plan["layers"]}
    assert left["5"] < 0.65 and left["2"] > 0.9 and left["0"] > 0.9
    assert "taylor, sensitivity: 7" in plan["why"]
    assert by_hand(smaller, batches) > 0.9
    everywhere = Prune(scope="uniform", target={measure: 0.75}, round_to=1)
    other, _ = compress(network, [everywhere], sample=batches[0][0], batches=batches)
    assert by_hand(smaller, batches) > by_hand(other, batches) + 0.05


@pytest.mark.parametrize("measure", ["macs", "params"])
def test_ranks_meet_a_target(network, batches, measure):
    step = Tucker(ranks="sensitivity", target={measure: 0.6})
    smaller, recipe = compress(network, [step], sample=batches[0][0], batches=batches)
    count = {"macs": lambda n: count_macs(n, SIZE), "params": count_params}[measure]
    assert count(smaller) / count(network) == pytest.approx(0.6, rel=0.06)
    layers = recipe.entries[0].plan["layers"]
    ratios = {n: sum(c["rank"]) / sum(c["channels"]) for n, c in layers.items()}
    assert ratios["5"] < ratios.get("2", 1)
    assert "of F1 at most" in layers["5"]["why"]


def test_ranks_by_a_bound(network, batches):
    def layers(bound: float) -> dict:
        step = Tucker(ranks="sensitivity", sensitivity=bound)
        _, recipe = compress(network, [step], sample=batches[0][0], batches=batches)
        return recipe.entries[0].plan["layers"]

    assert set(layers(0.005)) == {"5"}
    assert set(layers(1.0)) == {"0", "2", "5"}
    assert layers(1.0)["2"]["rank"] == [4, 4]  # the smallest that was looked at


def test_a_latency_target(network, batches, fake_latency):
    step = Prune(ratios="sensitivity", target={"latency": 0.7}, round_to=1)
    _, recipe = compress(network, [step], sample=batches[0][0], batches=batches)
    before, after = recipe.entries[0].plan["latency_ms"]
    assert after / before == pytest.approx(0.7, rel=0.1)


def test_rounds_scan_anew(network, batches, tmp_path):
    step = Prune(ratios="sensitivity", target={"macs": 0.6}, round_to=1, rounds=2)
    way = {"sample": batches[0][0], "batches": batches, "scans": tmp_path}
    smaller, _ = compress(network, [step], **way)
    assert count_macs(smaller, SIZE) / count_macs(network, SIZE) == pytest.approx(0.6, rel=0.02)
    assert len(list(tmp_path.glob("*/figures.json"))) == 2


def test_validation_batches_are_preferred(network, batches):
    seen = []

    class Watched:
        def __iter__(self):
            seen.append(1)
            return iter(batches[1:])

    step = Tucker(ranks="sensitivity", sensitivity=1.0)
    compress(network, [step], sample=batches[0][0], batches=batches, val_batches=Watched())
    assert seen


def test_refusals(network, batches):
    sample = batches[0][0]
    context = Context(sample=sample, image_size=SIZE)
    for step in (Prune(ratios="sensitivity"), Tucker(ranks="sensitivity")):
        with pytest.raises(CompressionError, match="evaluates the network on labelled images"):
            compress(network, [step], sample=sample)
        with pytest.raises(CompressionError, match="no batch of images"):
            compress(network, [step], sample=sample, batches=[])
    with pytest.raises(CompressionError, match="prune_layers does not treat layers one by one"):
        PruneLayers().treatments(network, context, (0.5,))
    with pytest.raises(
        CompressionError, match=r"prune.ratios=no does not exist; there are sensitivity"
    ):
        Prune(ratios="no")
    with pytest.raises(CompressionError, match=r"prune.ratios=sensitivity needs a target"):
        Prune(ratios="sensitivity", ratio=0.5)
    with pytest.raises(CompressionError, match="tucker.sensitivity=2 is not allowed; it must"):
        Tucker(sensitivity=2)
    step = Prune(ratios="sensitivity", target={"macs": 0.01}, round_to=1)
    with pytest.raises(CompressionError, match=r"target.macs=0.01 cannot be reached"):
        compress(network, [step], sample=sample, batches=batches)


def test_groups_of_one_layer_are_numbered():
    assert _numbered(["a", "b", "a", "a"]) == ["a", "b", "a (2)", "a (3)"]
