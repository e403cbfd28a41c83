import numpy as np
import pytest
import torch
from PIL import Image

from compression.cost.macs import count_macs, count_params
from compression.recalibration import recalibrate
from lightning_modules.errors import ConfigError
from lightning_modules.networks import build_network
from lightning_modules.networks.shufflenet_v1 import STAGES, ChannelShuffle, ShuffleNetV1
from tests.conftest import SHARED, needs_shared

CHECKPOINT = SHARED / "weights" / "shufflenet_g3_wd4.pth"


@pytest.mark.parametrize(("units", "macs"), [([4, 8, 4], 1_688_940), ([2, 5, 2], 1_083_210)])
def test_golden_macs(units, macs, model_cfg):
    cfg = model_cfg(units=units, head="conv")
    network = build_network(cfg, num_classes=9, image_size=80)
    assert count_macs(network, 80, convention="leaderboard2021") == macs


def test_golden_parameters(model_cfg):
    assert count_params(build_network(model_cfg(), num_classes=1000, image_size=80)) == 305_902


@needs_shared("weights", CHECKPOINT.name)
def test_the_checkpoint_loads_strictly(model_cfg):
    network = build_network(model_cfg(), num_classes=1000, image_size=224)
    state = torch.load(CHECKPOINT, weights_only=True)
    assert list(network.body.state_dict()) == list(state)
    network.body.load_state_dict(state, strict=True)


@needs_shared("data", "trashnet150")
def test_the_weights_mean_what_they_meant(model_cfg):
    """Stored BatchNorm means agree with those of photographs in every layer but the first.

    With another shuffle, or the pooled input concatenated first, some layer falls below 0.6.
    """
    cfg = model_cfg(weights=str(CHECKPOINT))
    network = build_network(cfg, num_classes=6, image_size=80)
    paths = sorted(SHARED.joinpath("data", "trashnet150", "val").rglob("*.jpg"))[::2]
    photos = [np.asarray(Image.open(path).resize((80, 80))) for path in paths]
    images = torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2)
    stored = {k: v.clone() for k, v in network.state_dict().items() if k.endswith("running_mean")}
    recalibrate(network, images.split(64))
    found = network.state_dict()
    agreement = [torch.corrcoef(torch.stack([stored[k], found[k]]))[0, 1] for k in stored]
    assert min(agreement[1:]) > 0.7


@needs_shared("weights", CHECKPOINT.name)
def test_fewer_units_load_what_matches(model_cfg, caplog):
    caplog.set_level("INFO")
    cfg = model_cfg(units=[2, 5, 2], weights=str(CHECKPOINT))
    with pytest.raises(ConfigError, match="63 parameters that the network lacks .*partial_weights"):
        build_network(cfg, num_classes=6, image_size=80)
    cfg.partial_weights = True
    network = build_network(cfg, num_classes=6, image_size=80)
    assert network.new_tensors == ["output.weight", "output.bias"]
    assert f"from {CHECKPOINT}; new: output.weight, output.bias; not used: " in caplog.text
    state = torch.load(CHECKPOINT, weights_only=True)
    name = "features.stage2.unit5.dw_conv2.weight"
    assert torch.equal(network.body.state_dict()[name], state[name])


def test_channel_shuffle_deals_out(images):
    x = torch.arange(6.0).view(1, 6, 1, 1)
    assert ChannelShuffle(groups=3)(x).flatten().tolist() == [0, 2, 4, 1, 3, 5]


@pytest.mark.parametrize("groups", STAGES)
def test_all_groups_of_the_paper(groups):
    network = ShuffleNetV1(num_classes=2, groups=groups, units=(1, 1, 1)).eval()
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 2)
    # Table 2 counts 137-140 million multiply-adds at 224 pixels for all groups.
    full = ShuffleNetV1(num_classes=1000, groups=groups)
    assert 0.12e9 < count_macs(full, 224) < 0.15e9


@pytest.mark.parametrize(
    "wrong", [{"groups": 5}, {"width": 0.3}, {"units": [1, 0, 1]}, {"units": [1]}, {"head": "x"}]
)
def test_refuses_impossible_settings(wrong):
    with pytest.raises(ConfigError):
        ShuffleNetV1(num_classes=2, **wrong)
