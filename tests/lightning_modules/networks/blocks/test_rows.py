"""How rows are written, and what is said of wrong ones."""

import sys

import pytest
import torch
from omegaconf import OmegaConf

from lightning_modules.errors import ConfigError
from lightning_modules.networks import build_network, load_network, save_network
from lightning_modules.networks.blocks import registry
from lightning_modules.networks.blocks.network import BlockNetwork
from lightning_modules.networks.blocks.registry import find_block_type
from lightning_modules.networks.blocks.staged import staged_network
from lightning_modules.networks.blocks.writing import to_rows

TARGET = "lightning_modules.networks.blocks.network.BlockNetwork"
POOL, HEAD = [1, "GlobalAvgPool", []], [1, "FixedConv", ["num_classes", 1]]


def keys(network):
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def test_four_ways_to_write_a_row(parse):
    positional = [2, "Conv", [16, 3, 2, None, 1, "hardswish"]]
    named = {"kind": "Conv", "act": "HARDSWISH", "repeat": 2, "s": 2, "k": 3, "out": 16}
    ways = [
        parse([positional]),
        parse([named]),
        parse({"b1": positional, "b2": POOL, "b3": HEAD}),
        parse({"b1": named, "b2": {"kind": "GlobalAvgPool"}, "b3": HEAD}),
    ]
    assert all(keys(way) == keys(ways[0]) for way in ways)
    assert {"Hardswish"} == {
        type(m).__name__ for m in ways[1].modules() if "ard" in type(m).__name__
    }


def test_names_are_stable_and_in_order(parse):
    network = parse({"stem": [2, "Conv", [8, 3]], "pool": POOL, "head": HEAD})
    assert [name for name, _ in network.blocks.named_children()] == ["stem", "pool", "head"]
    assert "blocks.stem.1.conv.weight" in network.state_dict()


def test_num_classes_is_exact_even_where_channels_scale(parse):
    rows = [POOL, [1, "Conv", ["num_classes", 1]]]
    network = parse(rows, head=False, num_classes=9, width_multiple=0.5)
    assert network(torch.zeros(2, 3, 8, 8).add(1)).shape == (2, 9)


def test_one_kind_is_overridden_from_the_configuration(model_cfg):
    changes = {"blocks": {"b3": {"kind": "ECAInvertedResidualv3"}}}
    cfg = model_cfg("blocks/diet_found", **changes)
    network = build_network(cfg, num_classes=3, image_size=32)
    assert type(network.body.blocks.b3[0]).__name__ == "ECAInvertedResidualv3"


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "model.blocks is empty"),
        ({}, "model.blocks is empty"),
        ("Conv", "a list or a dict of rows"),
        (None, "a list or a dict of rows"),
        ([[1, "Conb", [8, 3]]], r"row 1 \(b1\): there is no kind 'Conb'; did you mean Conv"),
        ([POOL, [1, "xyz", []]], r"row 2 \(b2\): there is no kind 'xyz'; there are .*Bottleneck"),
        ([[1, ["Conv"], [8, 3]]], r"row 1 \(b1\): there is no kind"),
        (
            [[1, "Conv", [8, 3, 1, 1, 1, "Rellu"]]],
            r"row 1 .*no activation 'Rellu'; did you mean ReLU",
        ),
        ([[1, "Conv", [8]]], r"row 1 \(b1, Conv\): too few arguments, argument 2 \(k\) is missing"),
        ([[1, "InvertedResidual", [3, 1, 8, 1]]], "row 1 .*with s=1 .* come in, 3, not 8"),
        ([[1, "FusedMBConv", [2, 8, 1, 3, 0]]], "row 1 .*project is false only where t is 1"),
        ([[1, "ShuffleNetV2", [1, 7]]], r"row 1 .*2 arguments are too many, argument 2 \(7\)"),
        ([{"kind": "Conv", "out": 8, "kk": 3}], "row 1 .*no argument kk; it takes out, k, s=1"),
        ([{"out": 8}], "row 1 .*has no kind"),
        ([[1, "Conv"]], r"row 1 \(b1\): a row is"),
        ([[1, "Conv", 8]], r"row 1 \(b1\): a row is"),
        ([None], r"row 1 \(b1\): a row is"),
        ([[0, "Conv", [8, 3]]], "row 1 .*repeat is a whole number of at least 1, not 0"),
        ([[-2, "Conv", [8, 3]]], "row 1 .*repeat is a whole number of at least 1, not -2"),
        ([[1.5, "Conv", [8, 3]]], "row 1 .*repeat is a whole number"),
        ([[1, "Conv", [0, 3]]], "row 1 .*out is a whole number of at least 1, not 0"),
        ([[1, "Conv", [-8, 3]]], "row 1 .*out is a whole number of at least 1, not -8"),
        ([[1, "Conv", [8.5, 3]]], "row 1 .*out is a whole number"),
        ([[1, "Conv", ["many", 3]]], "row 1 .*out is a whole number of at least 1, not 'many'"),
        ([[1, "Conv", [8, 3, 0]]], "row 1 .*s is a whole number"),
        ([[1, "Conv", [8, 3, 1, -1]]], "row 1 .*pad is a whole number of at least 0 or null"),
        ([[1, "Conv", [8, 3, 1, None, 1, 5]]], "row 1 .*act is a name or null, not 5"),
        ([[1, "Conv", [8, 3, 1, None, 5]]], "row 1 .*divisible by groups"),
        ([[1, "InvertedResidualv2", [8, 0, 1]]], "row 1 .*t is a number above 0, not 0"),
        ([[1, "InvertedResidualv2", [8, float("inf"), 1]]], "row 1 .*t is a number above 0"),
        ([[1, "InvertedResidualv3", [3, 1, 8, 2, 0, 1]]], "row 1 .*se is 0 or 1, not 2"),
        ([[1, "Dropout", [1.5]]], r"row 1 \(b1, Dropout\).*probability"),
        ([[1, "MaxPool", [2, 2, 2]], POOL], "row 1 .*pad"),
        ([[1, "ShuffleNetV2", [3]]], "row 1 .*s is 1 or 2"),
        ([[1, "ShuffleNetV2", [1]]], "row 1 .*the 3 channels that come in cannot be halved"),
        (
            [[1, "Linear", [5]]],
            "row 1 .*takes N x C, but N x C x H x W comes in; put GlobalAvgPool",
        ),
        ([POOL, [1, "Linear", [5]]], "row 2 .*put Flatten before it"),
        ([[1, "Flatten", []]], "row 1 .*put GlobalAvgPool before it"),
        ([POOL, [1, "Flatten", []], [1, "Conv", [8, 3]]], "row 3 .*but N x C comes in"),
        ([[1, "Conv", [8, 3]]], "row 1 .*the last row gives a feature map"),
        ([POOL, [1, "FixedConv", [6, 1]]], "row 2 .*gives 6 numbers, but the data has 5 classes"),
        ([POOL, [1, "Flatten", []], [1, "Linear", [9]]], "row 3 .*9 numbers.*5 classes"),
        ({"a.b": POOL}, r"row 1 \(a.b\): the name of a block"),
    ],
    ids=lambda value: None if isinstance(value, str) else "",
)
def test_refuses_with_the_row(rows, says):
    with pytest.raises(ConfigError, match=says):
        BlockNetwork(num_classes=5, blocks=rows)


@pytest.mark.parametrize("multiple", ["width_multiple", "depth_multiple"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "wide", None, True])
def test_refuses_impossible_multiples(multiple, value):
    with pytest.raises(ConfigError, match=f"model.{multiple}=.*a number above 0"):
        BlockNetwork(num_classes=5, blocks=[POOL, HEAD], **{multiple: value})


def test_a_row_that_holds_itself_has_an_end():
    row = [1, "Conv"]
    row.append([row, 3])
    with pytest.raises(ConfigError, match="row 1 .*not a nested list"):
        BlockNetwork(num_classes=5, blocks=[row])
    rows = []
    rows.append(rows)
    with pytest.raises(ConfigError, match="row 1"):
        BlockNetwork(num_classes=5, blocks=rows)


def test_says_which_row_the_map_is_too_small_for():
    rows = [[2, "MaxPool", [2, 2]], [1, "AvgPool", [3, 2, 0]], POOL, HEAD]
    cfg = {"_target_": TARGET, "blocks": rows}
    assert build_network(cfg, num_classes=5, image_size=12)
    with pytest.raises(
        ConfigError, match=r"row 2 \(b2, AvgPool\).*2 x 3 come in.*3 x 3 are needed"
    ):
        build_network(cfg, num_classes=5, image_size=[8, 12])
    with pytest.raises(ConfigError, match=r"row 1 \(b1, MaxPool\).*1 x 1 come in"):
        build_network(cfg, num_classes=5, image_size=2)


def test_a_padding_that_shrinks_below_one_pixel():
    network = BlockNetwork(num_classes=5, blocks=[[1, "Conv", [8, 7, 1, 1]], POOL, HEAD])
    with pytest.raises(ConfigError, match=r"row 1 .*4 x 9 come in, and at least 5 x 5"):
        network(torch.zeros(1, 3, 4, 9))


@pytest.mark.parametrize("rows", [[POOL, HEAD], OmegaConf.create([POOL, HEAD])])
def test_configuration_nodes_are_rows_too(rows):
    assert to_rows(BlockNetwork(num_classes=5, blocks=rows)) == [POOL, HEAD]


def test_a_new_kind_is_one_decorated_class(parse, monkeypatch):
    find_block_type("Conv")
    monkeypatch.setitem(registry._BLOCK_TYPES, "Twice", None)  # removed again after the test
    monkeypatch.delitem(registry._BLOCK_TYPES, "Twice")

    @registry.block()
    class Twice(torch.nn.Upsample):
        def __init__(self, in_channels: int, *, factor: int = 2) -> None:
            super().__init__(scale_factor=factor)
            self.out_channels = in_channels

    network = parse([[2, "Twice", []], [1, "Twice", [3]]])
    assert network.blocks.b2(network.blocks.b1(torch.zeros(1, 3, 4, 4))).shape == (1, 3, 48, 48)


OWN_BLOCK = """
import torch
from lightning_modules.networks.blocks.registry import block


@block(scaled=("out",), stride="first")
class Patch(torch.nn.Conv2d):
    def __init__(self, in_channels: int, *, out: int, s: int = 1) -> None:
        super().__init__(in_channels, out, 2 if s == 2 else 1, stride=s)


@block()
class Conv(torch.nn.Identity):
    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.out_channels = in_channels
"""


@pytest.fixture
def own_block(tmp_path, monkeypatch):
    (tmp_path / "own_block.py").write_text(OWN_BLOCK)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "own_block.Patch"
    registry._BLOCK_TYPES.pop("Patch", None)
    sys.modules.pop("own_block", None)


def test_a_kind_from_outside_is_named_by_its_path(own_block, tmp_path):
    row = {"_target_": own_block, "repeat": 2, "out": 16, "s": 2}
    cfg = {"_target_": TARGET, "blocks": {"patch": row, "pool": {"kind": "GlobalAvgPool"},
           "head": {"kind": "FixedConv", "out": "num_classes", "k": 1}}}  # fmt: skip
    network = build_network(cfg, num_classes=5, image_size=16)
    assert [type(unit).__name__ for unit in network.body.blocks.patch] == ["Patch", "Patch"]
    assert [unit.stride for unit in network.body.blocks.patch] == [(2, 2), (1, 1)]
    assert to_rows(network)["patch"] == row
    conv = BlockNetwork(num_classes=5, blocks=[[1, "Conv", [8, 1]], POOL, HEAD])
    assert type(conv.blocks.b1[0]).__module__.startswith("lightning_modules.")  # not theirs

    save_network(network, tmp_path)
    with pytest.raises(ConfigError, match=r"'own_block.Patch' is refused.*trust"):
        load_network(tmp_path)
    again = load_network(tmp_path, trust=["own_block"])
    assert type(again.body.blocks.patch[0]).__name__ == "Patch"


def test_a_kind_from_outside_may_be_a_stage(own_block):
    stages = {"s1": {"_target_": own_block, "out": 24, "s": 2, "k": 5}}
    network = staged_network(
        num_classes=5, stem={"out": 8, "k": 3, "s": 2}, stages=stages, head={"out": 16}
    )
    assert network.blocks.s1[0].weight.shape == (24, 8, 2, 2)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"_target_": "own_block.Gone"}, r"row 1 \(b1\): own_block.Gone cannot be imported"),
        ({"_target_": "torch.nn.Conv2d"}, r"torch.nn.Conv2d is no kind of row; give its class"),
        ({"_target_": "own_block.Patch", "kind": "Conv"}, r"a kind or a _target_, not both"),
        ({"_target_": "own_block.Patch", "k": 3}, r"there is no argument k; it takes out, s=1"),
    ],
)
def test_a_wrong_kind_from_outside_is_said(own_block, row, sentence):
    with pytest.raises(ConfigError, match=sentence):
        BlockNetwork(num_classes=5, blocks=[row])
