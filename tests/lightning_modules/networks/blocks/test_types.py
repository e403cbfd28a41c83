"""Every kind against a closed formula of its output shape, parameters and MACs."""

import math

import pytest
import torch
from torchvision.models.shufflenetv2 import InvertedResidual

from compression import Merge, compress
from compression.cost.macs import count_macs, count_params, module_macs
from compression.onnx.export import export_onnx
from lightning_modules.errors import ConfigError
from lightning_modules.networks import build_network
from lightning_modules.networks.blocks import registry
from lightning_modules.networks.blocks.network import BlockNetwork
from lightning_modules.networks.blocks.registry import find_block_type

IN, SIDE = 16, 14  # channels and pixels that come in


def after(side, k, s, pad):
    return (side + 2 * pad - k) // s + 1


def eight(value):
    """A multiple of 8, as MobileNetV2's paper code rounds it."""
    low = max(8, int(value + 4) // 8 * 8)
    return low + 8 if low < 0.9 * value else low


class ChainCost:
    """Parameters and MACs of a chain of layers on one map, added by hand."""

    def __init__(self, channels=IN, side=SIDE):
        self.channels, self.side, self.params, self.macs = channels, side, 0, 0

    def conv(self, out, k=1, s=1, groups=1, *, bn=True, pad=None):
        self.side = after(self.side, k, s, k // 2 if pad is None else pad)
        weights = self.channels // groups * out * k * k
        self.params += weights + (2 * out if bn else out)  # without BatchNorm there is a bias
        self.macs += weights * self.side**2
        self.channels = out
        return self

    def depthwise(self, k, s=1):
        return self.conv(self.channels, k, s, self.channels)

    def squeeze(self, width):
        self.params += 2 * self.channels * width + width + self.channels
        self.macs += 2 * self.channels * width
        return self

    def eca(self):
        kernel = int(abs(math.log2(self.channels) / 2 + 0.5))
        kernel += kernel % 2 == 0
        self.params += kernel
        self.macs += kernel * self.channels
        return self

    def add(self, *others):
        self.params += sum(other.params for other in others)
        self.macs += sum(other.macs for other in others)
        return self


def inverted_v3(k, t, out, se, hs, s, attention="squeeze"):
    cost, hidden = ChainCost(), eight(IN * t)
    cost = cost.conv(hidden) if hidden != IN else cost
    cost.depthwise(k, s)
    if se:
        cost = cost.eca() if attention == "eca" else cost.squeeze(eight(hidden // 4))
    return cost.conv(out)


def inverted_v2(out, t, s):
    hidden = round(IN * t)
    cost = ChainCost().conv(hidden) if hidden != IN else ChainCost()
    return cost.depthwise(3, s).conv(out)


def mbconv(t, out, s, k):
    cost = ChainCost().conv(IN * t) if t != 1 else ChainCost()
    return cost.depthwise(k, s).squeeze(IN // 4).conv(out)


def fused(t, out, s, k, project=True):
    return ChainCost().conv(IN * t, k, s).conv(out) if project else ChainCost().conv(out, k, s)


def fire(squeeze, one, three):
    cost = ChainCost().conv(squeeze, bn=False)
    left, right = (
        ChainCost(squeeze).conv(one, bn=False),
        ChainCost(squeeze).conv(three, 3, bn=False),
    )
    cost.add(left, right).channels = one + three
    return cost


def ghost_conv(cost, out):
    cost.conv(out // 2).depthwise(3).channels = out
    return cost


def ghost(k, t, out, se, s):
    cost = ghost_conv(ChainCost(), eight(IN * t))
    cost = cost.depthwise(k, s) if s > 1 else cost
    cost = cost.squeeze(eight(cost.channels // 4)) if se else cost
    ghost_conv(cost, out)
    return cost if s == 1 and out == IN else cost.add(ChainCost().depthwise(k, s).conv(out))


def shuffle(s):
    width = IN if s == 2 else IN // 2
    cost = ChainCost(width).conv(width).depthwise(3, s).conv(width)
    if s == 2:
        cost.add(ChainCost(width).depthwise(3, s).conv(width))
    cost.channels = IN * s
    return cost


def shuffle_to(k, t, out, s):
    if s == 1:
        return shuffle(s)
    cost = ChainCost().conv(out // 2).depthwise(3, s).conv(out // 2)
    cost.add(ChainCost().depthwise(3, s).conv(out // 2)).channels = out
    return cost


def bottleneck(out, shortcut=True, groups=1, expansion=0.5, act=None):
    return ChainCost().conv(int(out * expansion)).conv(out, 3, groups=groups)


def dwconv(out, k, s=1, pad=None, act=None):
    return ChainCost().conv(out, k, s, math.gcd(IN, out), pad=pad or k // 2)


def conv(out, k, s=1, pad=None, groups=1, act=None):
    return ChainCost().conv(out, k, s, groups, pad=pad or k // 2)


def rep_conv(out, k, s=1, groups=1, act=None):
    cost = ChainCost().conv(out, k, s, groups)
    if k > 1:
        cost.add(ChainCost().conv(out, 1, s, groups))
    cost.params += 2 * IN if s == 1 and out == IN else 0
    return cost


def pool(k, s=None, pad=0):
    cost, s = ChainCost(), k if s is None else s
    cost.side = after(SIDE, k, s, k // 2 if pad is None else pad)
    return cost


def same():
    return ChainCost()


FORMULAS = {
    "Conv": (conv, [[24, 3], [24, 5, 2], [8, 3, 1, 0], [8, 3, 1, 2], [8, 1, 1, None, 4, None]]),
    "FixedConv": (conv, [[7, 3, 2, None, 1, "GELU"], [5, 1]]),
    "DWConv": (dwconv, [[24, 3], [16, 5, 2, 0, "SiLU"], [48, 7, 2, 1, None]]),
    "RepConv": (
        rep_conv,
        [[16, 3], [24, 5, 2], [16, 1], [16, 3, 2, 4, None], [16, 7, 1, 16, "GELU"]],
    ),
    "Bottleneck": (bottleneck, [[16], [24, 0, 2, 0.25, "SiLU"], [24, True, 4, 1.0]]),
    "InvertedResidualv2": (inverted_v2, [[16, 1, 1], [24, 6, 2], [16, 2.4, 1]]),
    "InvertedResidualv3": (
        inverted_v3,
        [[3, 1, 16, 0, 0, 1], [5, 4.5, 24, 1, 1, 2], [3, 6, 16, 1, 0, 1], [7, 1, 8, 1, 1, 2]],
    ),
    "MBConv": (mbconv, [[1, 16, 1, 3], [6, 24, 2, 5]]),
    "FusedMBConv": (fused, [[1, 16, 1, 3], [4, 24, 2, 5], [1, 24, 2, 3, 0]]),
    "Fire": (fire, [[4, 10, 12]]),
    "GhostBottleneck": (ghost, [[3, 1, 16, 0, 1], [5, 3, 24, 1, 2], [3, 6, 24, 1, 1]]),
    "ECABottleneck": (lambda *a: bottleneck(*a).eca(), [[16], [24, 0, 2, 0.25]]),
    "ECAInvertedResidualv2": (lambda *a: inverted_v2(*a).eca(), [[16, 1, 1], [24, 6, 2]]),
    "ECAInvertedResidualv3": (
        lambda *a: inverted_v3(*a, attention="eca"),
        [[3, 1, 16, 0, 0, 1], [5, 4.5, 24, 1, 1, 2]],
    ),
    "ShuffleNetV2": (shuffle, [[1], [2]]),
    "InvertedResidual": (shuffle_to, [[3, 6, 24, 2], [5, 1, 16, 1]]),
    "MaxPool": (pool, [[3], [3, 2, 1], [2, 2], [2, 2, 0], [3, 2, None]]),
    "AvgPool": (pool, [[2], [3, 2, 1], [2, 2, 0]]),
    "Dropout": (lambda p: same(), [[0.2], [0]]),
}
CASES = [(kind, arguments) for kind, (_, cases) in FORMULAS.items() for arguments in cases]


def make(kind, arguments, channels=IN):
    found = find_block_type(kind)
    return found.make(channels, **dict(zip(found.parameters, arguments, strict=False))).eval()


@pytest.mark.parametrize(("kind", "arguments"), CASES, ids=str)
def test_shape_parameters_and_macs(kind, arguments):
    expected = FORMULAS[kind][0](*arguments)
    unit = make(kind, arguments)
    assert unit(torch.zeros(2, IN, SIDE, SIDE)).shape == (
        *(2, expected.channels),
        *(expected.side, expected.side),
    )
    assert unit.out_channels == expected.channels
    assert count_params(unit) == expected.params
    assert module_macs(unit, (1, IN, SIDE, SIDE)) == expected.macs


def test_no_kind_is_without_a_formula():
    find_block_type("Conv")
    assert set(registry._BLOCK_TYPES) == set(FORMULAS) | {"GlobalAvgPool", "Flatten", "Linear"}


def test_heads():
    x = torch.randn(2, IN, SIDE, SIDE)
    point = make("GlobalAvgPool", [])(x)
    assert torch.allclose(point, x.mean((2, 3), keepdim=True), atol=1e-6)
    flat = make("Flatten", [])(point)
    linear = make("Linear", [10, "relu"])
    assert linear(flat).shape == (2, 10) and (linear(flat) >= 0).all()
    assert count_params(linear) == IN * 10 + 10
    assert module_macs(linear, (1, IN)) == IN * 10


def test_dropout_drops_while_training_only():
    dropout, x = make("Dropout", [0.5]), torch.ones(1, IN, 8, 8)
    assert torch.equal(dropout(x), x)
    assert 0.3 < (dropout.train()(x) == 0).float().mean() < 0.7


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("InvertedResidualv2", [IN, 2, 1]),
        ("InvertedResidualv3", [3, 2, IN, 1, 1, 1]),
        ("MBConv", [2, IN, 1, 3]),
        ("FusedMBConv", [2, IN, 1, 3]),
        ("GhostBottleneck", [3, 2, IN, 1, 1]),
        ("Bottleneck", [IN]),
        ("ECABottleneck", [IN]),
        ("ECAInvertedResidualv2", [IN, 2, 1]),
        ("ECAInvertedResidualv3", [3, 2, IN, 1, 1, 1]),
    ],
)
def test_the_input_is_added_where_the_shape_stays(kind, arguments):
    unit, x = make(kind, arguments), torch.randn(1, IN, 6, 6)
    for module in unit.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # nothing comes out of the branch
            torch.nn.init.zeros_(module.weight)
            torch.nn.init.zeros_(module.bias)
    assert torch.allclose(unit(x), x, atol=1e-6)


def test_no_shortcut_when_told():
    unit, x = make("Bottleneck", [IN, 0]), torch.randn(1, IN, 6, 6)
    torch.nn.init.zeros_(unit.expand.bn.weight)
    assert torch.equal(unit(x), torch.zeros_like(x))


def test_the_shuffle_mixes_both_halves():
    unit, x = make("ShuffleNetV2", [1]), torch.randn(1, IN, 6, 6)
    assert torch.equal(unit(x)[:, ::2], x[:, : IN // 2])


@pytest.mark.parametrize(("out", "s"), [(24, 2), (IN, 1)])
def test_inverted_residual_is_torchvisions_unit(out, s):
    unit, theirs = make("InvertedResidual", [3, 1, out, s]), InvertedResidual(IN, out, s)
    x = torch.randn(2, IN, 6, 6)
    ours = {**unit.state_dict()}
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.values(), strict=True)))
    assert torch.allclose(theirs.eval()(x), unit(x), atol=1e-6)


@pytest.mark.parametrize(("kind", "stride_in"), [("Conv", "last"), ("MBConv", "first")])
def test_which_repeat_has_the_stride(kind, stride_in, parse):
    arguments = [24, 3, 2] if kind == "Conv" else [2, 24, 2, 3]
    row = parse([[3, kind, arguments]]).blocks.b1
    strides = [max(m.stride[0] for m in u.modules() if hasattr(m, "stride")) for u in row]
    assert strides == ([1, 1, 2] if stride_in == "last" else [2, 1, 1])


@pytest.mark.parametrize(
    ("depth", "width", "repeats", "channels"),
    [(1.0, 1.0, [3, 1], [24, 13]), (0.75, 0.5, [2, 1], [16, 13]), (0.1, 2, [1, 1], [40, 13])],
)
def test_multiples(depth, width, repeats, channels, parse):
    rows = [[3, "Conv", [20, 3]], [1, "FixedConv", [13, 3]]]
    network = parse(rows, depth_multiple=depth, width_multiple=width)
    blocks = [network.blocks.b1, network.blocks.b2]
    assert [len(block) for block in blocks] == repeats
    assert [block[-1].out_channels for block in blocks] == channels


@pytest.mark.slow  # networks of such blocks are exported with the deployment
def test_every_kind_is_exported(tmp_path):
    rows = [[1, "FixedConv", [16, 1]]]
    rows += [[1, kind, cases[0]] for kind, (_, cases) in FORMULAS.items() if kind != "ShuffleNetV2"]
    rows += [[1, "ShuffleNetV2", [1]], [1, "ShuffleNetV2", [2]], [1, "GlobalAvgPool", []]]
    rows += [[1, "Flatten", []], [1, "Linear", ["num_classes"]]]
    target = f"{BlockNetwork.__module__}.BlockNetwork"
    network = build_network({"_target_": target, "blocks": rows}, num_classes=3, image_size=32)
    export_onnx(network.eval(), tmp_path / "all.onnx", 32)  # compares the outputs


def test_macs_of_rows_add_up(parse):
    network = parse([[2, "Conv", [8, 3, 2]]])
    stem = 3 * 8 * 9 * 20**2 + 8 * 8 * 9 * 10**2
    assert count_macs(network, 20) == stem + 8 * 5


@pytest.mark.parametrize("arguments", [[IN, 3], [24, 5, 2], [IN, 1, 1, 4, "Hardswish"]])
def test_rep_conv_trains_branches_and_ships_one_convolution(arguments, parse):
    network = parse([[1, "Conv", [IN, 3]], [2, "RepConv", arguments]]).eval()
    for norm in (m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    images = torch.randn(2, 3, 18, 18)
    merged, _ = compress(network, [Merge()], sample=images)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in merged.blocks.b2.modules())
    assert [name for name, _ in merged.blocks.b2[1].named_children()] == ["reparam_conv", "act"]
    with torch.no_grad():
        expected = network(images)
        assert (merged(images) - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_rep_conv_of_an_image_trains_in_channels_last(parse):
    network = parse([[1, "RepConv", [16, 3, 2]]]).to(memory_format=torch.channels_last)
    images = torch.randn(8, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    network(images).square().sum().backward()  # of a strided 1 x 1 convolution torch dies
    assert network.blocks.b1[0].pointwise.conv.weight.grad.abs().sum() > 0


def test_rep_conv_of_an_even_window_is_refused(parse):
    with pytest.raises(ConfigError, match=r"row 1 \(b1, RepConv\): k is odd, not 2"):
        parse([[1, "RepConv", [8, 2]]])
