import subprocess
import sys
from types import SimpleNamespace

import pytest
from PIL import Image
from torch import nn

from compression.cost.macs import count_macs, count_params, macs_per_layer
from compression.cost.meta_pass import layer_calls
from compression.cost.profile import profile_network
from lightning_modules.errors import ConfigError
from lightning_modules.networks import meta_network
from lightning_modules.networks.overview import overview
from lightning_modules.reporting.pictures.bars import save_bars
from tests.conftest import ROOT

MEASURED = """
import sys, time
from omegaconf import OmegaConf
from compression.cost.macs import count_macs
from compression.cost.profile import profile_network
from lightning_modules.config.options import option_values
from lightning_modules.networks import meta_network
from lightning_modules.networks.overview import overview
import lightning_modules.networks.zoo

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

option, variant = sys.argv[1:]
node = OmegaConf.create(option_values("model", option))
node.variant = variant
before = resident()
network = meta_network(node, num_classes=1000, image_size=224)
times = [time.process_time()]
profiled = lambda: overview(network, profile_network(network, 224))
for measure in (profiled, lambda: count_macs(network, 224)):
    for _ in range(2):  # the first time imports
        found = measure()
        times.append(time.process_time())
ratio = (times[2] - times[1]) / (times[4] - times[3])
print(ratio, (resident() - before) / 1e6)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "option",
    ["shufflenet_g3", "resnet", "vit"]
    + [pytest.param(option, marks=pytest.mark.slow) for option in ("swin", "timm")],
)
@pytest.mark.parametrize("convention", ["standard", "leaderboard2021"])
@pytest.mark.parametrize("layers", [False, True])
def test_rows_add_up_to_the_totals(option, convention, layers, model_cfg):
    network = meta_network(model_cfg(option), num_classes=5, image_size=64)
    rows = overview(network, profile_network(network, 64), convention=convention, layers=layers)
    assert sum(row.macs for row in rows) == count_macs(network, 64, convention=convention)
    assert sum(row.params for row in rows) == count_params(network)
    assert len({row.name for row in rows}) == len(rows)


def test_rows_by_hand(model_cfg):
    network = meta_network(model_cfg("resnet"), num_classes=5, image_size=64)
    rows = {row.name: row for row in overview(network, profile_network(network, 64))}
    assert list(rows)[:3] == ["pixels", "conv1", "bn1"] and list(rows)[-1] == "fc"
    assert rows["conv1"].arguments == "3 -> 64, 7x7/2"
    assert rows["conv1"].shape == (64, 32, 32)
    assert rows["conv1"].macs == 3 * 49 * 64 * 32 * 32
    block = rows["layer2.0"]
    assert (block.kind, block.arguments) == ("BasicBlock", "3x3/2, 3x3, 1x1/2")
    assert block.shape == (128, 8, 8)
    assert block.params == (64 + 128) * 128 * 9 + 64 * 128 + 3 * 2 * 128
    assert rows["fc"].macs == 512 * 5


def test_a_block_says_the_row_that_it_was_built_from():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU()))
    kind = SimpleNamespace(name="Conv")
    network[1].row = SimpleNamespace(block_type=kind, repeat=2, arguments={"out": 4, "k": 1})
    row = overview(network, profile_network(network, 8))[-1]
    assert (row.name, row.kind, row.arguments) == ("1", "Conv", "2 x out=4, k=1")


def test_the_profile_agrees_with_the_single_counts(model_cfg):
    network = meta_network(model_cfg("squeezenet"), num_classes=5, image_size=64)
    found = profile_network(network, [64, 48])
    for convention, counts in found.macs.items():
        single = macs_per_layer(network, [64, 48], convention)
        assert {name: macs for name, macs in counts.items() if macs} == single
    inputs = layer_calls(network, [64, 48])
    assert found.shapes["body.features.0"] == inputs["body.features.1"][0]


def test_the_picture(model_cfg, tmp_path):
    network = meta_network(model_cfg(), num_classes=5, image_size=64)
    rows = overview(network, profile_network(network, 64))
    path = save_bars(rows, tmp_path / "new" / "bars.png", title="a title")
    picture = Image.open(path)
    bars = sum(1 for row in rows if row.macs)
    assert picture.width > 500 and picture.height > 20 * bars
    assert len(picture.convert("RGB").getcolors(1 << 16)) > 3
    with pytest.raises(ConfigError, match="cannot be written"):
        save_bars(rows, tmp_path / "bars.xyz", title="a title")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "variant"),
    [
        ("regnet", "regnet_y_128gf"),
        ("vit", "vit_h_14"),
        ("efficientnet", "efficientnet_v2_l"),
    ],
)
def test_the_largest_take_a_few_times_one_count_and_100_megabytes(option, variant):
    words = [sys.executable, "-c", MEASURED, option, variant]
    done = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True)
    ratio, megabytes = map(float, done.stdout.split())
    assert ratio < 3 and megabytes < 100
