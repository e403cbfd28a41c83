import copy

import pytest
import torch
from torch import nn
from torchvision import models

from compression.cost.macs import count_macs, count_params, macs_per_layer, module_macs
from compression.cost.meta_pass import layer_calls
from compression.errors import CompressionError


def test_golden_macs_of_shufflenet_v2():
    network = models.shufflenet_v2_x0_5(num_classes=9)
    assert count_macs(network, 64, convention="leaderboard2021") == 3_421_577


def test_leaderboard_by_hand():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),  # 6 x 5
        nn.BatchNorm2d(4),
        nn.BatchNorm2d(4, affine=False),
        nn.ReLU(),
        nn.MaxPool2d(2),  # 3 x 2
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2, bias=False),
    )
    convolution = 27 * 4 * 30 + 4 * 30
    norms = 2 * 120 + 120
    pools = 120 + 4 * 6
    expected = convolution + norms + pools + 8
    assert count_macs(network, [6, 5], convention="leaderboard2021") == expected


def test_standard_by_hand_per_layer(network):
    layers = macs_per_layer(network, [20, 28])
    assert layers == {
        "0": 27 * 16 * 20 * 28,
        "3": 9 * 16 * 24 * 10 * 14,
        "6": 9 * 24 * 8 * 12,
        "7": 24 * 12 * 8 * 12,
        "10": 36,
    }
    assert count_macs(network, [20, 28]) == sum(layers.values())
    shapes = layer_calls(network, [20, 28])
    assert shapes["3"] == [(1, 16, 20, 28)]
    assert module_macs(network[3], shapes["3"][0]) == layers["3"]


def test_attention_is_counted():
    with torch.device("meta"):
        network = models.VisionTransformer(
            image_size=32, patch_size=8, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=32
        )
    tokens, width = 17, 16
    linears = tokens * (3 * width**2 + width**2 + 2 * width * 32) + width * 1000
    patches = 16 * 3 * 64 * width
    attention = 2 * tokens * tokens * width
    assert count_macs(network, 32) == linears + patches + attention


class Token(nn.Module):
    """Passes a parameter of its own to a layer, as class tokens are."""

    def __init__(self):
        super().__init__()
        self.token, self.layer = nn.Parameter(torch.zeros(1, 4)), nn.Linear(4, 2)

    def forward(self, x):
        return self.layer(self.token)


def test_a_parameter_may_be_an_argument():
    assert count_macs(Token(), 8) == 8


def test_the_network_is_left_alone(network):
    network.train()
    before = copy.deepcopy(network.state_dict())
    count_macs(network, 32)
    count_macs(network, 32, convention="leaderboard2021")
    assert network.training and not network[0]._forward_hooks
    after = network.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_half_precision_is_counted_too(network):
    assert count_macs(copy.deepcopy(network).half(), 32) == count_macs(network, 32)


def test_parameters(network):
    assert count_params(network) == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("size", "convention", "says"),
    [
        (2, "standard", "cannot take images of 2 x 2"),
        (0, "standard", "positive int"),
        ([8], "standard", "positive int"),
        ("64", "standard", "positive int"),
        (64, "fvcore", "standard and leaderboard2021"),
    ],
)
def test_refuses_with_a_sentence(network, size, convention, says):
    with pytest.raises(CompressionError, match=says):
        count_macs(network, size, convention=convention)
