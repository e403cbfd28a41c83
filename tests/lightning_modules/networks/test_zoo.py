import subprocess
import sys
from urllib.error import URLError

import pytest
import torch
from torchvision import models

from lightning_modules.errors import ConfigError
from lightning_modules.networks import build_network, meta_network
from lightning_modules.networks.building import MetaInit
from lightning_modules.networks.schema import FAMILIES, check_variant

MODULES = {"mobilenet_v2": "mobilenetv2", "mobilenet_v3": "mobilenetv3"}
MODULES |= {"shufflenet_v2": "shufflenetv2", "swin": "swin_transformer"}
MODULES |= {"vit": "vision_transformer"}


@pytest.mark.parametrize("family", FAMILIES)
def test_families_are_torchvisions(family):
    module = f"torchvision.models.{MODULES.get(family, family)}"
    builders = {name: models.get_model_builder(name) for name in models.list_models(models)}
    assert set(FAMILIES[family]) == {n for n, b in builders.items() if b.__module__ == module}


def test_no_network_of_torchvision_is_missing():
    assert {name for names in FAMILIES.values() for name in names} == set(
        models.list_models(models)
    )


def test_an_unknown_variant_lists_what_exists():
    with pytest.raises(ConfigError, match=r"did you mean resnet18.*resnet18, resnet34"):
        check_variant("resnet", "resnet19")
    with pytest.raises(ConfigError, match="alexnet, convnext"):
        check_variant("lenet", "lenet")


def test_names_are_checked_without_torch():
    code = "import lightning_modules.networks.schema, compression, sys; assert 'torch' not in "
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


@pytest.mark.parametrize("option", ["googlenet", "inception"])
def test_plain_logits_in_training(option, model_cfg):
    cfg = model_cfg(option, input_size=80)
    network = build_network(cfg, num_classes=4, image_size=80).train()
    assert network(torch.zeros(2, 3, 80, 80, dtype=torch.uint8)).shape == (2, 4)


def test_position_embeddings_are_interpolated(monkeypatch, model_cfg):
    with MetaInit():
        source = models.vit_b_32(image_size=64).state_dict()
    source = {name: torch.zeros(tensor.shape) for name, tensor in source.items()}
    monkeypatch.setattr(models._api.WeightsEnum, "get_state_dict", lambda *a, **k: source)
    cfg = model_cfg("vit", variant="vit_b_32", pretrained=True)
    network = build_network(cfg, num_classes=4, image_size=96)
    assert network.body.encoder.pos_embedding.shape == (1, 1 + 9, 768)
    assert not network.body.encoder.pos_embedding.any()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "size", "says"),
    [
        ("vit", 72, "vit_b_16 takes square images .* multiples of 16, not 72 x 72.*image_size=64"),
        ("vit", [32, 64], "vit_b_16 takes square images"),
        ("maxvit", 64, "maxvit_t takes images .* multiples of 224.*input_size=224"),
        ("inception", 64, "inception_v3: .*64 x 64 pixels.*model.input_size"),
        ("alexnet", 32, "alexnet: .*32 x 32 pixels"),
    ],
)
def test_a_size_it_cannot_take_is_one_sentence(option, size, says, model_cfg):
    with pytest.raises(ConfigError, match=says):
        meta_network(model_cfg(option, input_size=None), num_classes=4, image_size=size)


def test_pretrained_offline_is_one_sentence(monkeypatch, model_cfg):
    def offline(*args, **kwargs):
        raise URLError("no route to host")

    monkeypatch.setattr(models._api.WeightsEnum, "get_state_dict", offline)
    with pytest.raises(ConfigError, match="could not download"):
        build_network(model_cfg("mnasnet", pretrained=True), num_classes=4, image_size=64)


def test_mnasnet_keeps_up_with_short_trainings(model_cfg):
    """With torchvision's momentum of 0.0003 the statistics are still those of initialisation."""
    network = build_network(model_cfg("mnasnet"), num_classes=3, image_size=32)
    momenta = {m.momentum for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)}
    assert momenta == {0.1}
