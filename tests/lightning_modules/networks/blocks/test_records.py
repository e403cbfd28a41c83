"""The shipped networks of blocks, computed a second time without the block language."""

import time

import pytest
import torch
import torchvision
from omegaconf import OmegaConf
from torch import nn

from compression.cost.macs import count_macs, count_params
from compression.cost.meta_pass import layer_calls
from lightning_modules.errors import ConfigError
from lightning_modules.networks import BlockNetwork, build_network, load_network, save_network
from lightning_modules.networks.blocks.writing import to_rows
from tests.conftest import ROOT

FOLDER = ROOT / "conf" / "model"
SHIPPED = [f"blocks/{path.stem}" for path in sorted((FOLDER / "blocks").glob("[!_]*.yaml"))]

# As they were published; the last number is the data's classes.
CV09_FINAL = [
    [3, "Conv", [16, 3, 1, None, 1, "Hardswish"]],
    [3, "DWConv", [48, 5, 2, None, "ReLU"]],
    [3, "InvertedResidualv2", [64, 7, 2]],
    [3, "InvertedResidualv2", [128, 3, 1]],
    [2, "DWConv", [256, 5, 2, None, "Hardswish"]],
    [1, "Conv", [384, 1, 1]],
    [1, "GlobalAvgPool", []],
    [1, "FixedConv", [6, 1, 1, None, 1, None]],
]
DIET_FOUND = [
    [1, "Conv", [8, 3, 2, None, 1, "HardSwish"]],
    [1, "InvertedResidualv3", [3, 1, 8, 1, 0, 2]],
    [1, "InvertedResidualv3", [3, 1, 16, 1, 1, 2]],
    [1, "InvertedResidualv3", [3, 1, 24, 1, 1, 1]],
    [1, "InvertedResidualv3", [5, 1, 32, 1, 1, 2]],
    [1, "InvertedResidualv3", [5, 1, 32, 1, 1, 1]],
    [1, "Conv", [128, 1, 1]],
    [1, "GlobalAvgPool", []],
    [1, "Conv", [256, 1, 1]],
    [1, "Flatten", []],
    [1, "Linear", [9]],
]


def node(rows):
    return {"_target_": "lightning_modules.networks.blocks.network.BlockNetwork", "blocks": rows}


def norm(channels):
    return nn.BatchNorm2d(channels)


def conv(i, o, k=1, s=1, g=1):
    return [nn.Conv2d(i, o, k, s, k // 2, groups=g, bias=False), norm(o)]


class SE(nn.Module):
    def __init__(self, channels, width):
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, width, 1), nn.Conv2d(width, channels, 1)

    def forward(self, x):
        return x * self.up(self.down(x.mean((2, 3), keepdim=True)))


def v3(i, o, k, s, se):
    """An InvertedResidualv3 without expansion."""
    return nn.Sequential(*conv(i, i, k, s, i), SE(i, se), *conv(i, o))


def v2(i, o, t, s):
    return nn.Sequential(*conv(i, i * t), *conv(i * t, i * t, 3, s, i * t), *conv(i * t, o))


def flat(*parts):
    return nn.Sequential(
        *[m for part in parts for m in (part if isinstance(part, list) else [part])]
    )


def diet_by_hand():
    return flat(
        *(conv(3, 8, 3, 2), v3(8, 8, 3, 2, 8), v3(8, 16, 3, 2, 8), v3(16, 24, 3, 1, 8)),
        *(v3(24, 32, 5, 2, 8), v3(32, 32, 5, 1, 8), conv(32, 128), nn.AdaptiveAvgPool2d(1)),
        *(conv(128, 256), nn.Flatten(), nn.Linear(256, 9)),
    )


def cv09_by_hand():
    return flat(
        *(conv(3, 16, 3), conv(16, 16, 3), conv(16, 16, 3)),
        *(conv(16, 48, 5, 1, 16), conv(48, 48, 5, 1, 48), conv(48, 48, 5, 2, 48)),
        *(v2(48, 64, 7, 2), v2(64, 64, 7, 1), v2(64, 64, 7, 1)),
        *(v2(64, 128, 3, 1), v2(128, 128, 3, 1), v2(128, 128, 3, 1)),
        *(conv(128, 256, 5, 1, 128), conv(256, 256, 5, 2, 256), conv(256, 384)),
        *(nn.AdaptiveAvgPool2d(1), conv(384, 6), nn.Flatten()),
    )


@pytest.mark.parametrize(
    ("option", "rows", "by_hand", "classes", "params", "maps"),
    [
        ("diet_found", DIET_FOUND, diet_by_hand, 9, 46_169, [40, 20, 10, 10, 5, 5, 5, 1, 1]),
        ("cv09_final", CV09_FINAL, cv09_by_hand, 6, 539_676, [80, 40, 20, 20, 10, 10, 1, 1]),
    ],
)
def test_networks_of_record(option, rows, by_hand, classes, params, maps, model_cfg):
    again = by_hand()
    shipped = build_network(model_cfg(f"blocks/{option}"), num_classes=classes, image_size=80)
    for network in (build_network(node(rows), num_classes=classes, image_size=80), shipped):
        assert count_params(network) == count_params(again) == params
        assert count_macs(network, 80) == count_macs(again, 80)
        sizes = sorted(parameter.numel() for parameter in network.parameters())
        assert sizes == sorted(parameter.numel() for parameter in again.parameters())
    written = to_rows(shipped)
    written[-1][2][0] = classes
    assert [row[:2] for row in written] == [row[:2] for row in rows]
    assert all(b[2][: len(a[2])] == a[2] for a, b in zip(written, rows, strict=True))
    sides = layer_calls(shipped, 80)
    entering = [sides[f"body.blocks.b{n}"][0][-1] for n in range(2, len(maps) + 1)]
    assert entering == maps[:-1]


def test_as_cv09_was_published(model_cfg):
    cfg = model_cfg("blocks/cv09_final", depth_multiple=0.75, width_multiple=0.5)
    rows = to_rows(build_network(cfg, num_classes=6, image_size=64))
    assert [row[0] for row in rows] == [2, 2, 2, 2, 2, 1, 1, 1]
    assert [row[2][0] for row in rows if row[2]] == [8, 24, 32, 64, 128, 192, "num_classes"]


def test_efficientnet_b0_as_rows():
    """The 2021 leaderboard counted the pooling of MBConv's squeeze-excite, a module there."""
    cells = [(1, 1, 16, 1, 3), (2, 6, 24, 2, 3), (2, 6, 40, 2, 5), (3, 6, 80, 2, 3)]
    cells += [(3, 6, 112, 1, 5), (4, 6, 192, 2, 5), (1, 6, 320, 1, 3)]
    rows = [
        [1, "Conv", [32, 3, 2, None, 1, "Swish"]],
        *([repeat, "MBConv", arguments] for repeat, *arguments in cells),
        [1, "Conv", [1280, 1, 1, "None", 1, "swish"]],
        *([1, "GlobalAvgPool", []], [1, "Flatten", []], [1, "Linear", [9]]),
    ]
    network = BlockNetwork(num_classes=9, blocks=rows)
    assert count_macs(network, 64, "leaderboard2021") == 33_275_781
    assert count_params(network) == 4_019_077


def test_moga_a(model_cfg):
    """The paper's table 2: 5.1 M parameters and 304 M multiply-adds at 224 pixels."""
    network = build_network(model_cfg("moga_a"), num_classes=1000, image_size=224)
    assert round(count_macs(network, 224) / 1e6) == 304
    assert int(count_params(network) / 1e5) == 51  # 5 168 616, cut and not rounded there
    # Its authors' widths of squeeze-excite are a quarter exactly (60 for 240 channels, where the
    # block language says 64), and its second head convolution has no BatchNorm: 0.2 % less.
    theirs = count_params(network) - 4 * 3 * (2 * 240 + 1) - 2 * 241 - 2 * 1280
    assert theirs == 5_159_802 == count_params(moga_by_hand())


def moga_by_hand():
    cells = [  # expansion, channels, kernel, squeeze-excite, as in the paper's figure
        *((6, 24, 5, 0), (6, 24, 7, 0), (6, 40, 3, 0), (6, 40, 3, 1), (3, 40, 3, 1)),
        *((6, 80, 3, 1), (6, 80, 3, 0), (6, 80, 7, 0), (3, 80, 7, 1), (6, 112, 7, 0)),
        *((6, 112, 3, 0), (6, 160, 3, 0), (6, 160, 5, 1), (6, 160, 5, 1)),
    ]
    layers, i = [*conv(3, 16, 3), *conv(16, 16, 3, 1, 16), *conv(16, 16)], 16
    for t, o, k, se in cells:
        h = i * t
        layers += conv(i, h) + conv(h, h, k, 1, h) + [SE(h, h // 4)] * se + conv(h, o)
        i = o
    layers += [*conv(i, 960), nn.Conv2d(960, 1280, 1, bias=False), nn.Linear(1280, 1000)]
    return nn.Sequential(*layers)


@pytest.mark.slow
@pytest.mark.parametrize("option", [*SHIPPED, "moga_a"])
def test_survives_saving(option, model_cfg, tmp_path):
    torch.manual_seed(0)
    network = build_network(model_cfg(option), num_classes=3, image_size=32).eval()
    save_network(network, tmp_path)
    loaded = load_network(tmp_path)
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    assert torch.equal(loaded(images), network(images))
    assert to_rows(loaded) == to_rows(network)


@pytest.mark.slow
@pytest.mark.parametrize("option", ["blocks/ghostnet_like", "moga_a"])  # the most modules and rows
def test_parsing_takes_less_time_a_module_than_torchvision_does(option, model_cfg):
    blocks = OmegaConf.to_container(model_cfg(option).blocks)
    ours = lambda: BlockNetwork(num_classes=9, blocks=blocks)  # noqa: E731
    theirs = torchvision.models.mobilenet_v3_large
    pairs = [(_seconds_a_module(ours), _seconds_a_module(theirs)) for _ in range(5)]
    assert min(one / other for one, other in pairs) < 1


def _seconds_a_module(make):
    start = time.process_time()
    with torch.device("meta"):
        network = make()
    return (time.process_time() - start) / sum(1 for _ in network.modules())


@pytest.mark.parametrize(
    ("option", "params", "macs"),
    [
        ("mobilenet_v3_like", 2_542_856, 56_510_400),  # torchvision's mobilenet_v3_small
        ("ghostnet_like", 5.2e6, 141e6),  # table 7 of the paper
    ],
)
def test_the_likes_are_like(option, params, macs, model_cfg):
    network = build_network(model_cfg(f"blocks/{option}"), num_classes=1000, image_size=224)
    exact = isinstance(params, int)
    assert count_params(network) == pytest.approx(params, rel=0 if exact else 0.005)
    assert count_macs(network, 224) == pytest.approx(macs, rel=0 if exact else 0.005)
    if exact:
        twin = torchvision.models.mobilenet_v3_small()
        assert (count_params(twin), count_macs(twin, 224)) == (params, macs)


@pytest.mark.parametrize("literal", [5, 1000])
def test_refuses_a_literal_head_of_other_data(literal):
    rows = [*DIET_FOUND[:-1], [1, "Linear", [literal]]]
    with pytest.raises(ConfigError, match=rf"row 11 .*gives {literal} numbers.*has 9 classes"):
        build_network(node(rows), num_classes=9, image_size=80)


@pytest.mark.parametrize(
    ("option", "macs", "params"),
    [("diet_found", 497_033, 46_169), ("diet_evolved", 479_241, 28_377)],
)
def test_the_leaderboard_would_count_so(option, macs, params, model_cfg):
    network = build_network(model_cfg(f"blocks/{option}"), num_classes=9, image_size=64)
    assert count_macs(network, 64, "leaderboard2021") == macs
    assert count_params(network) == params
