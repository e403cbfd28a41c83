"""Which layers a pattern means, and the rates that follow."""

import pytest
import torch
from torch import nn

from lightning_modules.errors import ConfigError
from lightning_modules.networks import build_network
from lightning_modules.networks.layer_patterns import head_layers, layers, matching_layers
from lightning_modules.training.parameter_groups import parameter_groups, rate_factors


class Small(nn.Module):
    """stem (conv, norm), trunk.0, trunk.1 (conv), head (linear)."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.trunk = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 8, 3, bias=False))
        self.fc = nn.Linear(8, num_classes)

    def forward(self, images):
        return self.fc(self.trunk(self.stem(images)).mean((2, 3)))


@pytest.fixture
def network():
    model = {"name": "small", "_target_": f"{__name__}.Small"}
    return build_network(model, num_classes=5, image_size=16)


def module_of(network):
    return nn.ModuleDict({"network": network})


def rates(network, **settings):
    """Parameter name -> (rate, decays) of its group."""
    names = {id(p): n for n, p in network.named_parameters()}
    groups = parameter_groups(module_of(network), lr=1.0, **settings)
    return {
        names[id(p)]: (group.get("lr", 1.0), "weight_decay" not in group)
        for group in groups
        for p in group["params"]
    }


def test_layers_are_the_modules_with_tensors_of_their_own(network):
    assert list(layers(network)) == [
        "pixels", "body.stem.0", "body.stem.1", "body.trunk.0", "body.trunk.1", "body.fc"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("body.stem", {"body.stem.0", "body.stem.1"}),
        ("body.trunk.*", {"body.trunk.0", "body.trunk.1"}),
        ("*.1", {"body.stem.1", "body.trunk.1"}),
        ("body.s?em.0", {"body.stem.0"}),
        ("head", {"body.fc"}),
    ],
)
def test_patterns(network, pattern, expected):
    assert matching_layers(network, pattern) == expected


def test_a_pattern_without_a_layer_names_the_nearest(network):
    with pytest.raises(ConfigError, match=r"'body.steem'; the nearest names are body.stem"):
        matching_layers(network, "body.steem")
    assert matching_layers(network, "body.steem", strict=False) == set()


def test_a_network_without_a_head_says_so(network):
    network.num_classes = 7
    with pytest.raises(ConfigError, match="no Linear or 1x1 convolution with 7 outputs"):
        head_layers(network)


@pytest.mark.parametrize(
    ("model", "head"),
    [
        ("shufflenet_g3", "output"), ("squeezenet", "classifier.1"), ("resnet", "fc"),
        ("mobilenet_v3", "classifier.3"), ("vit", "heads.head"),
    ],
)  # fmt: skip
def test_heads_of_known_networks(compose_config, model, head):
    from lightning_modules.networks import meta_network

    network = meta_network(compose_config(f"model={model}").model, num_classes=6, image_size=64)
    assert head_layers(network) == {f"body.{head}"}


def test_without_factors_the_groups_are_weights_and_the_rest(network):
    decaying, rest = parameter_groups(module_of(network), lr=1.0)
    assert set(decaying) == {"params"}
    assert rest["weight_decay"] == 0.0
    weights = [network.body.stem[0], *network.body.trunk, network.body.fc]
    assert all(a is b.weight for a, b in zip(decaying["params"], weights, strict=True))
    assert len(rest["params"]) == 5


def test_the_last_pattern_that_fits_counts(network):
    found = rates(network, lr_factors={"*": 0.1, "body.trunk": 0.5, "head": 2, "body.trunk.1": 0})
    assert found["body.stem.0.weight"] == (0.1, True)
    assert found["body.stem.1.weight"] == (0.1, False)
    assert found["body.trunk.0.weight"] == (0.5, True)
    assert found["body.trunk.1.weight"] == (0.0, True)
    assert found["body.fc.bias"] == (2.0, False)


def test_layer_decay_counts_layers_with_weights_from_the_head(network):
    factors = rate_factors(network, {"head": 3.0}, 0.5)
    assert factors == {
        "body.fc": 3.0, "body.trunk.1": 0.5, "body.trunk.0": 0.25,
        "body.stem.1": 0.125, "body.stem.0": 0.125, "pixels": 0.0625,
    }  # fmt: skip


def test_the_first_group_has_the_largest_rate(network):
    groups = parameter_groups(module_of(network), lr=0.2, layer_decay=0.5)
    assert [group.get("lr", 0.2) for group in groups] == sorted(
        (group.get("lr", 0.2) for group in groups), reverse=True
    )
    assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))


def test_what_needs_no_gradient_is_left_out(network):
    network.body.stem.requires_grad_(False)
    assert set(rates(network)) == {
        name for name, _ in network.named_parameters() if not name.startswith("body.stem")
    }


def test_parameters_beside_the_network_learn_at_the_full_rate(network):
    module = module_of(network)
    module["adapter"] = nn.Linear(2, 2)
    groups = parameter_groups(module, lr=1.0, lr_factors={"*": 0.1})
    full = [p for group in groups if "lr" not in group for p in group["params"]]
    assert {id(p) for p in full} == {id(p) for p in module["adapter"].parameters()}
    assert torch.is_tensor(full[0])
