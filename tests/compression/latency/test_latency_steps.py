"""Every step that changes cost meets a latency target; the latency here is computed."""

import copy
import json

import pytest
import torch
from torch import nn

from compression import compress
from compression.cost.geometry import layer_macs
from compression.cost.macs import count_macs
from compression.errors import CompressionError
from compression.factorization import layer_timer
from compression.factorization.cp import CP
from compression.factorization.spatial_svd import SpatialSVD
from compression.factorization.svd import SVD
from compression.factorization.tucker import Tucker
from compression.latency.relative_latency import RelativeLatency
from compression.pruning.prune import Prune
from compression.pruning.prune_layers import PruneLayers
from tests.compression.fake_latency import OVERHEAD, fake_latency

__all__ = ["fake_latency"]
SAMPLE = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    """A residual block."""

    def __init__(self, channels):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return x + self.second(self.norm(self.first(x)).relu())


@pytest.fixture
def blocks():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1),
        nn.Sequential(*[Block(32) for _ in range(8)]),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 3),
    ).eval()


@pytest.fixture
def fake_timer(monkeypatch):
    """Layers take as long as they have MACs, and 1000 more for each of their parts."""

    def compare(layers):
        parts = [len(layer) if isinstance(layer, nn.Sequential) else 1 for layer, _ in layers]
        macs = [layer_macs(layer, shape) for layer, shape in layers]
        return [1e-6 * (n + 1000 * p) for n, p in zip(macs, parts, strict=True)]

    monkeypatch.setattr(layer_timer, "compare_layers", compare)


def latency_share(smaller, network):
    return OVERHEAD + (1 - OVERHEAD) * count_macs(smaller, 12) / count_macs(network, 12)


STEPS = [
    (Prune, {}),
    (PruneLayers, {}),
    (SVD, {}),
    (Tucker, {}),
    (Tucker, {"ranks": "ratio"}),
    (SpatialSVD, {}),
    pytest.param(CP, {}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("step", "settings"), STEPS)
def test_a_latency_is_met_and_replayed(step, settings, blocks, fake_latency, fake_timer):
    target = {SVD: 0.95, CP: 0.7}.get(step, 0.7)
    before = copy.deepcopy(blocks.state_dict())
    steps = [step(target={"latency": target}, **settings)]
    smaller, recipe = compress(blocks, steps, sample=SAMPLE)
    ratio = latency_share(smaller, blocks)
    assert ratio == pytest.approx(target, rel=0.1)
    (entry,) = recipe.entries
    assert json.loads(json.dumps(entry.plan)) == entry.plan
    assert entry.plan["target"] == f"{ratio:.1%} of the latency, measured (8 -> {8 * ratio:.3g} ms)"
    assert entry.plan["latency_ms"] == pytest.approx([8, 8 * ratio])
    assert entry.plan["target"] in "\n".join(step.describe(entry.plan))
    assert all(torch.equal(before[key], value) for key, value in blocks.state_dict().items())
    measured = len(fake_latency)
    again = recipe.replay(copy.deepcopy(blocks).to("meta"))
    assert {k: v.shape for k, v in again.state_dict().items()} == {
        k: v.shape for k, v in smaller.state_dict().items()
    }
    assert len(fake_latency) == measured <= 7


@pytest.mark.parametrize("step", [Prune, PruneLayers, Tucker])
def test_rounds_end_at_the_target(step, blocks, fake_latency, fake_timer):
    steps = [step(target={"latency": 0.6}, rounds=2)]
    smaller, recipe = compress(blocks, steps, sample=SAMPLE)
    first, second = (entry.plan["latency_ms"] for entry in recipe.entries)
    assert first == pytest.approx([8, 8 * 0.8], rel=0.1)
    assert second == pytest.approx([8, 8 * 0.6], rel=0.1)
    assert latency_share(smaller, blocks) == pytest.approx(0.6, rel=0.1)


@pytest.mark.parametrize("step", [Prune, PruneLayers, Tucker])
def test_out_of_reach_says_how_far_it_can_go(step, blocks, fake_latency, fake_timer):
    says = (
        r"target.latency=0.2 cannot be reached: this step can bring the network to between 0.[23]\d"
    )
    with pytest.raises(CompressionError, match=says):
        compress(blocks, [step(target={"latency": 0.2})], sample=SAMPLE)


def test_layers_that_measure_slower_are_left_alone(blocks, fake_latency, monkeypatch):
    def compare(layers):
        return [1.0, 1.5]

    monkeypatch.setattr(layer_timer, "compare_layers", compare)
    says = "latency=0.9 cannot be reached: no setting of this step makes the network faster"
    with pytest.raises(CompressionError, match=says):
        compress(blocks, [SVD(target={"latency": 0.9})], sample=SAMPLE)


def test_defaults_where_nothing_is_asked(blocks):
    for step, least, most in ((Prune, 0.588, 0.612), (PruneLayers, 0.58, 0.714)):
        smaller, _ = compress(blocks, [step()], sample=SAMPLE)
        assert least <= count_macs(smaller, 12) / count_macs(blocks, 12) <= most


def test_one_way_at_a_time():
    with pytest.raises(CompressionError, match="target .* or ratio, not both"):
        Prune(ratio=0.5, target={"macs": 0.5})
    with pytest.raises(CompressionError, match="was given keep and target"):
        PruneLayers(keep=[1], target={"latency": 0.5})


class Pixels(nn.Module):
    """A network whose layers take most of its time, on uint8 images."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 96, 3, stride=2, padding=1)
        self.body = nn.Sequential(*[Block(96) for _ in range(6)])
        self.head = nn.Linear(96, 3)

    def forward(self, images):
        return self.head(self.body(self.stem(images.float() / 255)).mean((2, 3)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "target"), [(Prune, 0.6), (PruneLayers, 0.6), (Tucker, 0.7), (SpatialSVD, 0.8)]
)
def test_a_real_measurement(step, target):
    """Whole networks in onnxruntime; the result is measured once more, with generous bounds."""
    torch.manual_seed(0)
    network, images = Pixels().eval(), torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    smaller, recipe = compress(network, [step(target={"latency": target})], sample=images)
    before, after = recipe.entries[0].plan["latency_ms"]
    # Units are coarse: the nearest below may be a unit's time away.
    assert (0.6 if step is PruneLayers else 0.9) * target <= after / before <= 1.1 * target
    again = RelativeLatency(network, 64).ratio(smaller)
    assert 0.5 * target < again < 1.4 * target
