"""With `prefer=latency` a layer is factorised only if the product measures faster."""

import pytest
import torch
from torch import nn

from compression import compress
from compression.errors import CompressionError
from compression.factorization import layer_timer
from compression.factorization.svd import SVD
from compression.factorization.tucker import Tucker

SAMPLE = torch.zeros(1, 3, 8, 8)


@pytest.fixture
def network():
    torch.manual_seed(0)
    wide = [nn.Conv2d(32, 48, 1), nn.Conv2d(48, 48, 1), nn.Conv2d(48, 48, 1)]
    return nn.Sequential(nn.Conv2d(3, 32, 1), *wide, nn.Conv2d(48, 2, 1))


@pytest.fixture
def measured(monkeypatch):
    """The timer's measurements: by output channels of the layer; and what was asked of it."""
    asked = []

    def compare(layers):
        (_, shape), (product, _) = layers
        asked.append((tuple(shape), product[0].out_channels))
        return [1.0, 0.5] if shape[1] == 48 else [1.0, 0.96]

    monkeypatch.setattr(layer_timer, "compare_layers", compare)
    return asked


def test_what_does_not_measure_faster_is_left_alone(network, measured):
    _, recipe = compress(network, [SVD(ratio=0.25, prefer="latency")], sample=SAMPLE)
    plan = recipe.entries[0].plan
    assert plan["layers"].keys() == {"2", "3"}
    assert plan["layers"]["2"]["latency_ms"] == [1.0, 0.5]
    assert plan["skipped"]["1"] == "no faster (rank 8: 1 -> 0.96 ms)"
    # Layers 2 and 3 are alike.
    assert measured == [((1, 3, 8, 8), 1), ((1, 32, 8, 8), 8), ((1, 48, 8, 8), 12)]
    assert SVD.describe_layers(plan)["3"].endswith("MACs, 1 -> 0.5 ms")


def test_a_target_counts_only_what_is_faster(network, measured):
    _, recipe = compress(
        network, [SVD(target={"macs": 0.7}, ranks="ratio", prefer="latency")], sample=SAMPLE
    )
    plan = recipe.entries[0].plan
    assert plan["layers"].keys() == {"2", "3"} and plan["target"] == "69.7% of the MACs"
    with pytest.raises(CompressionError, match="between 0.30"):
        compress(network, [SVD(target={"macs": 0.1}, prefer="latency")], sample=SAMPLE)


def test_a_real_measurement():
    """A wide 3x3 at a quarter of its channels is faster anywhere; a small one at full size not."""
    network = nn.Sequential(nn.Conv2d(3, 128, 1), nn.Conv2d(128, 128, 3, padding=1))
    step = Tucker(ratio=0.2, prefer="latency")
    _, recipe = compress(network, [step], sample=torch.zeros(1, 3, 24, 24))
    before, after = recipe.entries[0].plan["layers"]["1"]["latency_ms"]
    assert 0 < after < before
