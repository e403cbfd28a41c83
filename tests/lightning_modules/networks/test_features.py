"""Features: what hooks show, that they leave nothing behind, and what is refused."""

import copy

import pytest
import torch
from torch import nn

from lightning_modules.errors import ConfigError
from lightning_modules.networks import build_network
from lightning_modules.networks.features import Features, feature_shapes

IMAGES = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)


@pytest.fixture
def network(compose_config):
    model = compose_config("model=shufflenet_g3", "model.units=[1,2,1]").model
    return build_network(model, num_classes=3, image_size=32).eval()


def test_outputs_are_those_of_the_modules_with_or_without_body(network):
    paths = ["features.stage1", "body.features.stage2.unit2", "output"]
    with Features(network, paths) as features:
        logits = network(IMAGES)
        assert list(features.outputs) == paths
        stage1 = network.body.features.stage1(
            network.body.features.init_block(network.pixels(IMAGES))
        )
        assert torch.equal(features.outputs["features.stage1"], stage1)
        assert torch.equal(features.outputs["output"], logits)
        features.outputs["features.stage1"].sum().backward()
    weight = network.body.features.init_block.conv.weight
    assert weight.grad.abs().sum() > 0
    assert features.outputs == {}


def test_hooks_exist_only_inside(network):
    names = list(network.state_dict())
    features = Features(network, ["output"])
    with features:
        assert len(network.body.output._forward_hooks) == 1
        network(IMAGES)
    with pytest.raises(ZeroDivisionError), features:
        raise ZeroDivisionError
    assert not network.body.output._forward_hooks
    assert list(network.state_dict()) == names
    network(IMAGES)
    assert features.outputs == {}
    copy.deepcopy(network)


def test_the_latest_pass_counts(network):
    with Features(network, ["output"]) as features:
        network(IMAGES)
        last = network(IMAGES[:1])
        assert features.outputs["output"] is last


def test_shapes_are_found_without_values(network):
    found = feature_shapes(network, ["features.stage1", "pool", "output"], 32)
    assert {name: tuple(shape) for name, shape in found.items()} == {
        "features.stage1": (1, 60, 4, 4), "pool": (1, 240, 1, 1), "output": (1, 3)
    }  # fmt: skip
    assert not any(p.is_meta for p in network.parameters())
    assert not network.body.output._forward_hooks


class Odd(nn.Module):
    """Gives a pair inside, and has a layer that it does not use."""

    def __init__(self):
        super().__init__()
        self.split = Pair()
        self.spare = nn.Linear(2, 2)

    def forward(self, x):
        return self.split(x)[0].mean((2, 3))


class Pair(nn.Module):
    def forward(self, x):
        return x, x


def test_refusals_name_what_is_near(network):
    with pytest.raises(
        ConfigError, match=r"no module 'features\.stage9'; the nearest names are features\.stage"
    ):
        Features(network, ["features.stage9"])
    with pytest.raises(ConfigError, match=r"split \(Pair\) gives a tuple, not one tensor"):
        feature_shapes(Odd(), ["split"], 8)
    with pytest.raises(ConfigError, match="does not call the module 'spare'"):
        feature_shapes(Odd(), ["spare"], 8)
