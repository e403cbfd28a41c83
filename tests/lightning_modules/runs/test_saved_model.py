import inspect
from pkgutil import resolve_name

import pytest
from omegaconf import OmegaConf

from lightning_modules.errors import ConfigError
from lightning_modules.registry import plain
from lightning_modules.runs import current_model, saved_run, stored_model
from lightning_modules.runs.saved_model import NETWORKS
from tests.conftest import ROOT

OPTIONS = sorted(
    str(path.relative_to(ROOT / "conf" / "model").with_suffix(""))
    for path in (ROOT / "conf" / "model").rglob("*.yaml")
    if not path.name.startswith("_") and path.stem != "custom"  # which is one of your own
)


def test_names_stand_in_the_place_of_paths():
    node = {"name": "x", "_target_": "lightning_modules.networks.robnet.RobNet", "cells": ["a"]}
    stored = {"name": "x", "_network_": "robnet", "_version_": 1, "cells": ["a"]}
    assert list(stored_model(node).items()) == list(stored.items())
    assert list(current_model(stored).items()) == list(node.items())


def test_nodes_within_nodes():
    own = {"_target_": "lightning_modules.networks.zoo.torchvision_network", "family": "vgg"}
    foreign = {"_target_": "their_package.Body", "trunk": own, "_version_": "of theirs"}
    stored = {"_network_": "torchvision", "_version_": 1, "family": "vgg"}
    node = {"parts": [foreign, 3]}
    assert stored_model(node) == {"parts": [{**foreign, "trunk": stored}, 3]}
    assert current_model(stored_model(node)) == node


def test_a_node_of_schema_1_stays():
    node = {"_target_": "lightning_modules.networks.zoo.torchvision_network", "family": "vgg"}
    assert current_model(node) == node


@pytest.mark.slow
def test_every_option_of_this_package_is_stored_by_name(compose_config):
    used = set()
    for option in OPTIONS:
        model = plain(compose_config(f"model={option}").model)
        stored = stored_model(model)
        assert "_target_" not in stored, option
        assert current_model(stored) == model
        used.add(stored["_network_"])
    assert used == set(NETWORKS)


def test_names_lead_to_what_makes_networks():
    for network in NETWORKS.values():
        assert "num_classes" in inspect.signature(resolve_name(network.path)).parameters


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"_network_": "resnext"}, "it names the network 'resnext', which this version does not"),
        ({"_network_": ["robnet"]}, r"it names the network \['robnet'\]"),
        ({"_version_": 2}, "version 2 of the network robnet; this installation has version 1"),
        ({"_version_": None}, "version None of the network robnet"),
    ],
    ids=str,
)
def test_unknown_names_and_versions_are_refused(changes, says):
    with pytest.raises(ConfigError, match=says):
        current_model({"_network_": "robnet", "_version_": 1, **changes})


def test_a_description_is_read_in_todays_paths(tmp_path):
    model = {"_network_": "timm", "_version_": 1, "variant": "lcnet_050"}
    content = OmegaConf.create({"schema": 2, "class_names": ["a", "b"], "model": model})
    OmegaConf.save(content, tmp_path / "network.yaml")
    saved = saved_run.description(tmp_path)
    target = "lightning_modules.networks.timm_zoo.timm_network"
    assert saved["model"] == {"_target_": target, "variant": "lcnet_050"}
    same = OmegaConf.create({"_target_": target, "variant": "lcnet_050", "pretrained": True})
    assert saved_run.same_structure(saved["model"], same)
    OmegaConf.save(OmegaConf.merge(content, {"model": {"_version_": 7}}), tmp_path / "network.yaml")
    with pytest.raises(ConfigError, match=r"network\.yaml cannot be read: it has version 7"):
        saved_run.description(tmp_path)
