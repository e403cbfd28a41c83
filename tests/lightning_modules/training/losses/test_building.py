"""Losses from configuration nodes: who gets the counts, and which networks are refused."""

import pytest
from torch import nn

from datamodules.loading import class_weights
from lightning_modules.errors import ConfigError
from lightning_modules.networks import build_network
from lightning_modules.training.losses.building import build_loss, check_loss


class Mine(nn.CrossEntropyLoss):
    """A user's loss that asks for the counts."""

    def __init__(self, *, class_counts):
        super().__init__()
        self.counts = class_counts


def make_network(compose_config, *overrides):
    cfg = compose_config("model.units=[1,1,1]", *overrides)
    return cfg, build_network(cfg.model, num_classes=3, image_size=32)


def test_counts_are_given_to_those_who_ask():
    assert build_loss({"_target_": f"{__name__}.Mine"}, class_counts=(5, 2)).counts == [5, 2]
    build_loss({"_target_": "torch.nn.CrossEntropyLoss"}, class_counts=[5, 2])


def test_weights_are_those_of_the_counts(compose_config):
    cfg = compose_config("loss=class_balanced", "loss.beta=0.9")
    loss = build_loss(cfg.loss, class_counts=[50, 7, 0])
    expected = class_weights([50, 7, 0], "effective_number", 0.9)
    assert loss.weights.tolist() == pytest.approx(expected)


def test_a_target_that_does_not_exist_is_named():
    with pytest.raises(
        ConfigError, match=r"nowhere.Loss cannot be built: No module named .nowhere.\.$"
    ):
        build_loss({"_target_": "nowhere.Loss"}, class_counts=[1, 1])


def test_arcface_wants_its_head_with_its_scale(compose_config):
    cfg, network = make_network(compose_config, "loss=arcface")
    check_loss(cfg.loss, network)
    with pytest.raises(ConfigError, match="loss.scale=30, but the network's head has the scale 16"):
        check_loss({**cfg.loss, "scale": 30.0}, network)
    _, plain = make_network(compose_config)
    with pytest.raises(ConfigError, match="needs a network with a cosine head"):
        check_loss(cfg.loss, plain)
