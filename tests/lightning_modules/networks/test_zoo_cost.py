"""`standard` MACs of the zoo against a count of its own, from the shapes of single layers."""

from math import ceil

import pytest
import timm
import torch
from torch import nn
from torchvision import models
from torchvision.models.swin_transformer import ShiftedWindowAttention

from compression.cost.macs import count_macs
from compression.cost.meta_pass import forward_shapes
from lightning_modules.networks.building import MetaInit
from lightning_modules.networks.schema import FAMILIES

WITH_ATTENTION = ("maxvit", "swin", "vit")
CNNS = [name for family in FAMILIES if family not in WITH_ATTENTION for name in FAMILIES[family]]
TIMM_CNNS = [
    "convnext_atto",
    "cspdarknet53",
    "cspresnet50",
    "densenet121",
    "dla34",
    "dpn68",
    "efficientnet_lite0",
    "ese_vovnet19b_dw",
    "fbnetc_100",
    "ghostnet_050",
    "hardcorenas_a",
    "hgnetv2_b0",
    "hrnet_w18_small",
    "inception_v4",
    "lcnet_050",
    "mixnet_s",
    "mnasnet_small",
    "mobilenetv3_small_050",
    "mobilenetv4_conv_small",
    "mobileone_s0",
    "regnety_002",
    "repghostnet_050",
    "repvit_m0_9",
    "res2net50_26w_4s",
    "resnest14d",
    "resnet50d",
    "rexnet_100",
    "selecsls42",
    "seresnet18",
    "skresnet18",
    "starnet_s1",
    "tf_efficientnetv2_b0",
    "tinynet_e",
    "vovnet39a",
    "xception41",
]


def mostly_slow(names, *, fast):
    """Parameters of which only some are tested each time."""
    return [name if name in fast else pytest.param(name, marks=pytest.mark.slow) for name in names]


def count_layers(network: nn.Module, image_size: int) -> int:
    """MACs of the convolutions and linear layers, and of linear maps inside attention modules."""
    total = 0

    def count(module, inputs, output):
        nonlocal total
        if isinstance(module, nn.Conv2d | nn.Linear):
            total += module.weight[0].numel() * output.numel()
        elif isinstance(module, nn.MultiheadAttention):
            total += 4 * module.embed_dim * inputs[0].numel()
        else:
            total += 4 * window_tokens(module, inputs[0]) * inputs[0].shape[-1] ** 2

    counted = (nn.Conv2d, nn.Linear, nn.MultiheadAttention, ShiftedWindowAttention)
    for module in network.modules():
        if isinstance(module, counted):
            module.register_forward_hook(count)
    forward_shapes(network, image_size)
    return total


def window_tokens(attention, x) -> int:
    """Tokens after padding the map to whole windows."""
    sides = zip(x.shape[1:3], attention.window_size, strict=True)
    return torch.tensor([ceil(side / window) * window for side, window in sides]).prod().item()


def outline(make, **settings):
    with MetaInit():
        network = make(**settings)
    return network.to("meta").eval()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The default weight initialization")
@pytest.mark.parametrize(
    "name", mostly_slow(CNNS, fast={min(names, key=len) for names in FAMILIES.values()})
)
def test_torchvision_cnns(name):
    aux = {"aux_logits": False} if name in ("googlenet", "inception_v3") else {}
    network = outline(models.get_model_builder(name), num_classes=10, **aux)
    assert count_macs(network, 96) == pytest.approx(count_layers(network, 96), rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("name", mostly_slow(TIMM_CNNS, fast=TIMM_CNNS[::4]))
def test_timm_cnns(name):
    network = outline(timm.create_model, model_name=name, num_classes=10)
    assert count_macs(network, 96) == pytest.approx(count_layers(network, 96), rel=0.02)


@pytest.mark.parametrize("name", mostly_slow(FAMILIES["vit"], fast={"vit_b_16"}))
def test_vit_differs_by_its_attention_products(name):
    side = int(name[-2:])
    network = outline(models.get_model_builder(name), image_size=4 * side)
    width, layers, tokens = network.hidden_dim, len(network.encoder.layers), 4 * 4 + 1
    products = layers * 2 * tokens * tokens * width  # queries with keys, weights with values
    assert count_macs(network, 4 * side) - count_layers(network, 4 * side) == products


@pytest.mark.parametrize("name", mostly_slow(FAMILIES["swin"], fast={"swin_t"}))
def test_swin_differs_by_its_attention_products(name):
    network = outline(models.get_model_builder(name))
    products = 0

    def add(module, inputs, output):
        nonlocal products
        window = module.window_size[0] * module.window_size[1]
        products += 2 * window_tokens(module, inputs[0]) * window * inputs[0].shape[-1]

    for module in network.modules():
        if isinstance(module, ShiftedWindowAttention):
            module.register_forward_hook(add)
    layers = count_layers(network, 112)
    total = products
    assert count_macs(network, 112) - layers == total


def test_timms_vit_differs_by_its_attention_products():
    network = outline(timm.create_model, model_name="vit_tiny_patch16_224")
    products = 12 * 2 * 197 * 197 * 192
    assert count_macs(network, 224) - count_layers(network, 224) == products
