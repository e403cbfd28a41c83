"""Whatever is a valid list of rows builds, runs at two sizes, and is written back exactly."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_modules.errors import ConfigError
from lightning_modules.networks.blocks.network import BlockNetwork
from lightning_modules.networks.blocks.writing import to_rows

CHANNELS, KERNELS = st.integers(1, 40), st.sampled_from([1, 3, 5])
STRIDES, BIT = st.sampled_from([1, 2]), st.sampled_from([0, 1])
TIMES = st.sampled_from([1, 2, 3.5])
ACTS = st.sampled_from(["ReLU", "hardswish", "SILU", "prelu", None])
PADS = st.sampled_from([None, 0])

ARGUMENTS = {
    "Conv": [CHANNELS, KERNELS, STRIDES, PADS, st.just(1), ACTS],
    "FixedConv": [CHANNELS.map(lambda c: 2 * c), KERNELS, STRIDES, PADS],
    "DWConv": [CHANNELS, KERNELS, STRIDES, PADS, ACTS],
    "RepConv": [CHANNELS, KERNELS, STRIDES, st.just(1), ACTS],
    "Bottleneck": [CHANNELS, st.booleans(), st.just(1), st.sampled_from([0.5, 1.0]), ACTS],
    "ECABottleneck": [CHANNELS, st.booleans()],
    "InvertedResidualv2": [CHANNELS, TIMES, STRIDES],
    "ECAInvertedResidualv2": [CHANNELS, TIMES, STRIDES],
    "InvertedResidualv3": [KERNELS, TIMES, CHANNELS, BIT, BIT, STRIDES],
    "ECAInvertedResidualv3": [KERNELS, TIMES, CHANNELS, BIT, BIT, STRIDES],
    "MBConv": [TIMES, CHANNELS, STRIDES, KERNELS],
    "FusedMBConv": [TIMES, CHANNELS, STRIDES, KERNELS],
    "GhostBottleneck": [KERNELS, TIMES, CHANNELS, BIT, STRIDES],
    "Fire": [CHANNELS, CHANNELS.map(lambda c: 2 * c), CHANNELS.map(lambda c: 2 * c)],
    "ShuffleNetV2": [st.just(1)],
    "InvertedResidual": [KERNELS, TIMES, CHANNELS, st.just(2)],
    "MaxPool": [st.just(3), STRIDES, st.sampled_from([1, None])],
    "AvgPool": [st.just(3), STRIDES, st.sampled_from([1, None])],
    "Dropout": [st.sampled_from([0, 0.5])],
}
HEADS = [
    [[1, "GlobalAvgPool", []], [1, "FixedConv", ["num_classes", 1]]],
    [[1, "FixedConv", [4, 1, 1, None, 1, None]], [1, "GlobalAvgPool", []]],
    [[1, "GlobalAvgPool", []], [1, "Flatten", []], [1, "Linear", [4]]],
]


@st.composite
def networks(draw):
    rows = [[1, "Conv", [8, 3, 2]]]  # an even number of channels, for whatever halves them
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(sorted(ARGUMENTS)))
        arguments = [draw(argument) for argument in ARGUMENTS[kind]]
        rows.append([draw(st.integers(1, 3)), kind, arguments])
    return rows + draw(st.sampled_from(HEADS))


def shapes(network):
    return {name: tensor.shape for name, tensor in network.state_dict().items()}


@settings(max_examples=15, deadline=None)
@given(networks(), st.sampled_from([0.3, 0.75, 1.0, 2.0]), st.sampled_from([0.25, 1.0, 1.3]))
def test_valid_rows(rows, depth, width):
    with torch.device("meta"):
        network = BlockNetwork(
            num_classes=4, blocks=rows, depth_multiple=depth, width_multiple=width
        ).eval()
        assert network(torch.empty(2, 3, 24, 24)).shape == (2, 4)
        assert network(torch.empty(1, 3, 37, 18)).shape == (1, 4)
        written = to_rows(network)
        again = BlockNetwork(num_classes=4, blocks=written)
    assert shapes(again) == shapes(network)
    assert [str(m) for m in again.modules()] == [str(m) for m in network.modules()]
    assert to_rows(again) == written


@settings(max_examples=8, deadline=None)
@given(networks())
def test_valid_rows_with_values(rows):
    network = BlockNetwork(num_classes=4, blocks=rows).eval()
    with torch.no_grad():
        assert network(torch.randn(2, 3, 24, 24)).isfinite().all()


def test_own_names_come_back():
    rows = {"stem": [1, "Conv", [8, 3]], "pool": [1, "GlobalAvgPool", []]}
    rows["head"] = [1, "Conv", ["num_classes", 1]]
    assert to_rows(BlockNetwork(num_classes=4, blocks=rows)) == rows


def test_a_changed_network_is_not_written():
    network = BlockNetwork(num_classes=4, blocks=[[1, "Conv", [8, 3]], *HEADS[0]])
    network.blocks.b1[0].conv = torch.nn.Conv2d(3, 8, 1)
    with pytest.raises(ConfigError, match="changed since it was built"):
        to_rows(network)
    with pytest.raises(ConfigError, match="no network of blocks"):
        to_rows(torch.nn.Linear(1, 1))
