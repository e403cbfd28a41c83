"""Networks as people have them: factorised to a share of their MACs, trained a step, replayed."""

import copy

import pytest
import torch
from torchvision import models

from compression import Recipe, compress
from compression.cost.macs import count_macs
from compression.errors import CompressionError
from compression.factorization.spatial_svd import SpatialSVD
from compression.factorization.svd import SVD
from compression.factorization.tucker import Tucker

SIZE = 64
SPLIT = {"groups": "split"}


def factorised(name, step, classes=4):
    torch.manual_seed(0)
    extra = {"image_size": SIZE} if name.startswith("vit") else {}
    extra |= {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    network = getattr(models, name)(num_classes=classes, **extra).eval()
    sample = torch.rand(2, 3, SIZE, SIZE)
    smaller, recipe = compress(network, [step], sample=sample)
    rebuilt = Recipe.from_json(recipe.to_json()).replay(copy.deepcopy(network).to("meta"))
    rebuilt.load_state_dict(smaller.state_dict(), assign=True)
    assert torch.equal(rebuilt.eval()(sample), smaller.eval()(sample))
    smaller.train()(sample).square().sum().backward()
    assert all(p.grad is not None for p in smaller.parameters())
    return count_macs(smaller, SIZE) / count_macs(network, SIZE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "step", "ratio"),
    [
        ("squeezenet1_1", Tucker, 0.7),
        ("shufflenet_v2_x0_5", SVD, 0.6),
        ("squeezenet1_1", SpatialSVD, 0.7),
    ],
)
def test_to_a_share_of_the_macs(name, step, ratio):
    assert factorised(name, step(target={"macs": ratio}, **SPLIT)) == pytest.approx(ratio, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "step", "ratio"),
    [
        ("densenet121", SVD, 0.8),
        ("efficientnet_b0", SVD, 0.6),
        ("googlenet", Tucker, 0.6),
        ("mnasnet1_0", SVD, 0.6),
        ("convnext_tiny", SVD, 0.6),
        ("resnet18", Tucker, 0.6),
        ("mobilenet_v3_small", SVD, 0.6),
        ("regnet_y_400mf", SVD, 0.8),
        ("resnet50", Tucker, 0.8),
        ("resnext50_32x4d", SVD, 0.6),
        ("swin_t", SVD, 0.8),
        ("vgg11_bn", SpatialSVD, 0.6),
        ("vit_b_16", SVD, 0.7),
    ],
)
def test_more_networks_to_a_share_of_the_macs(name, step, ratio):
    assert factorised(name, step(target={"macs": ratio}, **SPLIT)) == pytest.approx(ratio, rel=0.02)


def test_tucker_says_how_little_it_can_do_for_a_depthwise_network():
    with pytest.raises(CompressionError, match="to between 0.8219 and 1.0000 of the MACs"):
        factorised("shufflenet_v2_x0_5", Tucker(target={"macs": 0.6}))
