import pytest
import torch
from torch import nn

from compression.cost.macs import count_macs, count_params
from lightning_modules.config.options import options_of
from lightning_modules.errors import ConfigError
from lightning_modules.networks import build_network

OPTIONS = [option for option in options_of("model") if option != "custom"]  # has no network


class Custom(nn.Sequential):
    """A user's own network."""

    def __init__(self, *, num_classes: int, outputs: int | None = None) -> None:
        super().__init__(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.append(nn.Linear(4, outputs or num_classes))


CUSTOM = {"_target_": f"{__name__}.Custom"}


def hook_count(network: nn.Module, images: torch.Tensor) -> int:
    """MACs of convolutions and linears, counted from real tensors."""
    counts = []

    def count(module, inputs, output):
        per_output = module.weight[0].numel()
        counts.append(per_output * output.numel())

    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    network(images)
    return sum(counts)


@pytest.mark.parametrize(
    "option",
    [  # robnet_free takes 4 s, and has tests of its own
        pytest.param(option, marks=pytest.mark.slow) if option == "robnet_free" else option
        for option in OPTIONS
    ],
)
def test_every_option_builds_runs_and_is_counted(option, model_cfg):
    network = build_network(model_cfg(option), num_classes=5, image_size=64).eval()
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        logits = network(images)
        assert logits.shape == (1, 5) and logits.isfinite().all()
        attention = option in ("maxvit", "swin", "vit")  # its products are in no layer
        if not attention:
            assert count_macs(network, 64) == hook_count(network, images)
    assert network.image_size == (64, 64) and network.num_classes == 5
    assert count_params(network) == sum(p.numel() for p in network.body.parameters())


def test_an_own_network_joins_by_target():
    network = build_network(CUSTOM, num_classes=3, image_size=[8, 12])
    assert network(torch.zeros(2, 3, 8, 12, dtype=torch.uint8)).shape == (2, 3)
    assert network.model_cfg["_target_"].endswith("Custom")


def test_resizes_inside(model_cfg):
    cfg = model_cfg("squeezenet", input_size=64)
    network = build_network(cfg, num_classes=2, image_size=8)
    assert network(torch.zeros(1, 3, 8, 8, dtype=torch.uint8)).shape == (1, 2)
    assert count_macs(network, 8) == count_macs(network, 64)


@pytest.mark.parametrize(
    ("cfg", "sizes", "says"),
    [
        ({}, {"num_classes": 1}, "at least 2 classes"),
        ({}, {"num_classes": True}, "at least 2 classes"),
        ({}, {"image_size": 0}, "positive int"),
        ({}, {"image_size": 2}, "2 x 2 pixels"),
        ({"outputs": 7}, {}, r"shape \(1, 7\)"),
        ({"_target_": None}, {}, "_target_"),
        ({"_target_": "no.such.thing"}, {}, "no.such.thing"),
        ({"depth": 3}, {}, "depth"),
        ({"pretrained": True}, {}, "no weights to download"),
        ({"pretrained": True, "weights": "a.pth"}, {}, "not both"),
    ],
)
def test_refuses_with_a_sentence(cfg, sizes, says):
    with pytest.raises(ConfigError, match=says):
        build_network({**CUSTOM, **cfg}, **{"num_classes": 3, "image_size": 8, **sizes})


def test_the_order_of_colors_and_an_argument_of_the_network_that_was_called_like_it():
    node = {"_target_": "lightning_modules.networks.timm_zoo.timm_network", "variant": "resnet18"}
    narrow = build_network({**node, "channels": [8, 16, 24, 32]}, num_classes=3, image_size=32)
    assert narrow.body.layer4[0].conv1.out_channels == 32 and not narrow.pixels.turns
    turned = build_network({**node, "channels": "bgr"}, num_classes=3, image_size=32)
    assert turned.body.layer4[0].conv1.out_channels == 512 and turned.pixels.turns
    assert turned.model_cfg["channel_order"] == "bgr" and "channels" not in turned.model_cfg
    both = {**node, "channels": [8, 16, 24, 32], "channel_order": "bgr"}
    network = build_network(both, num_classes=3, image_size=32)
    assert network.body.layer4[0].conv1.out_channels == 32 and network.pixels.turns
