import copy

import pytest
import torch
from torch import nn

from compression.latency.random_weights import random_weight_copy
from compression.latency.relative_latency import RelativeLatency, structure_of
from tests.compression.fake_latency import OVERHEAD, fake_latency

__all__ = ["fake_latency"]


def test_networks_are_compared_with_the_reference(fake_latency):
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 4, 1))
    latency = RelativeLatency(network, (8, 8))
    assert latency.ratio(copy.deepcopy(network)) == 1.0 and fake_latency == []
    half = nn.Conv2d(3, 8, 1)
    ratio = latency.ratio(half)
    macs = 8 * 8 * 24, 8 * 8 * 24 + 6 * 6 * (8 * 8 * 9 + 32)
    assert ratio == pytest.approx(OVERHEAD + (1 - OVERHEAD) * macs[0] / macs[1])
    assert latency.ratio(nn.Conv2d(3, 8, 1)) == ratio and len(fake_latency) == 2
    assert latency.reference_ms == 8 and len(fake_latency) == 2


def test_what_cannot_be_exported_is_compared_in_eager_mode(monkeypatch):
    class Branches(nn.Module):
        def forward(self, images):
            return images.float() if images.sum() > 3 else -images.float()

    monkeypatch.setattr("compression.latency.measure.MIN_REPEATS", 3)
    latency = RelativeLatency(Branches(), 8)
    assert latency.ratio(nn.Flatten()) > 0 and latency.reference_ms > 0
    assert latency.note.startswith("Measured in eager PyTorch, not in onnxruntime. This network")


def test_structure_tells_what_time_depends_on():
    conv = nn.Conv2d(4, 8, 3)
    assert structure_of(conv) == structure_of(nn.Conv2d(4, 8, 3))
    others = [nn.Conv2d(4, 8, 3, stride=2), nn.Conv2d(4, 8, 3, bias=False), nn.Conv2d(4, 9, 3)]
    assert all(structure_of(other) != structure_of(conv) for other in others)


def test_a_stand_in_has_the_structure_and_finite_outputs(network, sample):
    def restructure(twin, plan):
        twin[3] = nn.Conv2d(16, plan["width"], 3, stride=2, padding=1)
        twin[4] = nn.BatchNorm2d(plan["width"])
        twin[6] = nn.Conv2d(plan["width"], 24, 3)
        for name in ("weight", "running_var", "running_mean"):
            getattr(twin[4], name).data.fill_(float("nan"))
        return twin

    before = copy.deepcopy(network.state_dict())
    twin = random_weight_copy(network, restructure, {"width": 5})
    assert twin[3].out_channels == 5 and not twin.training
    assert twin(sample).isfinite().all()
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


@pytest.mark.slow
def test_a_real_measurement():
    wide = nn.Sequential(nn.Conv2d(3, 96, 3), nn.Conv2d(96, 96, 3), nn.Conv2d(96, 4, 1))
    narrow = nn.Sequential(nn.Conv2d(3, 24, 3), nn.Conv2d(24, 24, 3), nn.Conv2d(24, 4, 1))

    class Pixels(nn.Sequential):
        def forward(self, images):
            return super().forward(images.float() / 255).mean((2, 3))

    latency = RelativeLatency(Pixels(*wide), 48)
    assert 0.02 < latency.ratio(Pixels(*narrow)) < 0.6
    assert latency.reference_ms > 0
