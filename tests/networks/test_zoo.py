import subprocess
import sys
from urllib.error import URLError

import pytest
import torch
from torchvision import models

from lightning_modules.errors import ConfigError
from lightning_modules.networks import build_network
from lightning_modules.networks.variants import FAMILIES, check_variant

MODULES = {"mobilenet_v2": "mobilenetv2", "mobilenet_v3": "mobilenetv3"}
MODULES["shufflenet_v2"] = "shufflenetv2"


@pytest.mark.parametrize("family", FAMILIES)
def test_families_are_torchvisions(family):
    module = f"torchvision.models.{MODULES.get(family, family)}"
    builders = {name: models.get_model_builder(name) for name in models.list_models(models)}
    assert set(FAMILIES[family]) == {n for n, b in builders.items() if b.__module__ == module}


def test_an_unknown_variant_lists_what_exists():
    with pytest.raises(ConfigError, match=r"did you mean resnet18.*resnet18, resnet34"):
        check_variant("resnet", "resnet19")
    with pytest.raises(ConfigError, match="mnasnet"):
        check_variant("alexnet", "alexnet")


def test_names_are_checked_without_torch():
    code = "import lightning_modules.networks.variants, compression, sys; assert 'torch' not in "
    subprocess.run([sys.executable, "-c", code + "sys.modules"], check=True)


def test_networks_do_not_load_lightning():
    code = (
        "from lightning_modules.networks import build_network, load_network, save_network; "
        "from compression import compress; import sys; "
        "assert not [m for m in sys.modules if m.startswith('pytorch_lightning')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_pretrained_weights_get_a_new_head(monkeypatch, model_cfg):
    torch.manual_seed(0)
    source = models.squeezenet1_1().state_dict()
    monkeypatch.setattr(models._api.WeightsEnum, "get_state_dict", lambda *a, **k: source)
    network = build_network(model_cfg("squeezenet", pretrained=True), num_classes=4, image_size=64)
    assert torch.equal(network.body.features[0].weight, source["features.0.weight"])
    assert network.body.classifier[1].weight.shape[0] == 4


def test_pretrained_offline_is_one_sentence(monkeypatch, model_cfg):
    def offline(*args, **kwargs):
        raise URLError("no route to host")

    monkeypatch.setattr(models._api.WeightsEnum, "get_state_dict", offline)
    with pytest.raises(ConfigError, match="could not download"):
        build_network(model_cfg("mnasnet", pretrained=True), num_classes=4, image_size=64)
