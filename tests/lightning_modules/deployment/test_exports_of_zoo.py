"""Networks of the zoo, and one of each kind of compression, exported to ONNX and compared.

The weights are random, since training 30 networks takes hours; but a random head gives all images
the same class and nearly the same probabilities, and a broken file would agree too. So BatchNorm
is given the statistics of real photographs, and the last layer is scaled and shifted so that over
the compared images each class's logit has median 0 and deviation 4: then images differ in their top
class, and most of them are sure of it, which is asserted.
"""

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from torch import nn

from compression import compress
from compression.factorization.cp import CP
from compression.factorization.spatial_svd import SpatialSVD
from compression.factorization.svd import SVD
from compression.factorization.tucker import Tucker
from compression.pruning.prune import Prune
from compression.pruning.prune_layers import PruneLayers
from compression.pruning.prune_weights import PruneWeights
from compression.quantization.int8_network import Int8Network
from compression.quantization.quantize import Quantize
from compression.recalibration import recalibrate
from lightning_modules.config.options import option_values
from lightning_modules.deployment.exporting import export
from lightning_modules.deployment.formats import format_named
from lightning_modules.networks import build_network
from tests.conftest import SHARED, needs_shared

IMAGES, SIZE, CLASSES = 200, 80, 6
DEVIATION = 4.0  # of each logit, over the images
TORCHVISION = {
    "efficientnet": ["efficientnet_b0"],
    "mnasnet": ["mnasnet0_5"],
    "mobilenet_v2": ["mobilenet_v2"],
    "mobilenet_v3": ["mobilenet_v3_small"],
    "regnet": ["regnet_y_400mf"],
    "resnet": ["resnet18"],
    "shufflenet_v2": ["shufflenet_v2_x0_5"],
    "squeezenet": ["squeezenet1_1"],
}
TIMM = [
    "convnextv2_atto", "efficientvit_b0", "ghostnet_050", "lcnet_050", "mobilenetv4_conv_small",
    "mobilevit_xxs", "repvit_m0_9", "seresnet18", "vit_tiny_patch16_224",
]  # fmt: skip
OWN = ["shufflenet_g3", "blocks/diet_found", "blocks/cv09_final", "blocks/ghostnet_like"]
NETWORKS = {
    **{name: (family, {"variant": name}) for family in TORCHVISION for name in TORCHVISION[family]},
    **{name: ("timm", {"name": name}) for name in TIMM},
    **{name: (name, {}) for name in OWN},
}
NARROW = {"narrow resnet18": ("timm", {"name": "resnet18", "channels": [16, 32, 64, 128]})}
SIZES = {"vit_tiny_patch16_224": 224}
SHRINKING = {
    "prune": ("mobilenet_v2", lambda: [Prune(target={"macs": 0.7})]),
    "tucker": ("resnet18", lambda: [Tucker(target={"macs": 0.7})]),
    "cp": ("narrow resnet18", lambda: [CP(target={"macs": 0.8})]),
    "svd": ("shufflenet_v2_x0_5", lambda: [SVD(target={"macs": 0.9})]),
    "spatial_svd": ("resnet18", lambda: [SpatialSVD(target={"macs": 0.7})]),
    "prune_layers": ("shufflenet_g3", lambda: [PruneLayers(keep=[2, 5, 2])]),
    "prune_weights": ("mobilenet_v3_small", lambda: [PruneWeights(sparsity=0.8)]),
    "prune+tucker": ("resnet18", lambda: [Prune(target={"macs": 0.7}), Tucker(ratio=0.5)]),
    "quantize": ("shufflenet_g3", lambda: [Quantize(images=64)]),
    "prune_layers+quantize": (
        "shufflenet_g3",
        lambda: [PruneLayers(keep=[2, 5, 2]), Quantize(images=64)],
    ),
}

pytestmark = [pytest.mark.slow, needs_shared("data", "trashnet150")]


def photographs(split, size):
    """Photographs of all classes, uint8 N x 3 x size x size."""
    paths = sorted((SHARED / "data" / "trashnet150" / split).glob("*/*.jpg"))
    chosen = np.linspace(0, len(paths) - 1, IMAGES).round().astype(int)
    images = [Image.open(paths[i]).convert("RGB").resize((size, size)) for i in chosen]
    return np.stack([np.asarray(image).transpose(2, 0, 1) for image in images])


def make(name):
    """A network of random weights with the statistics of real images, and its image size."""
    torch.manual_seed(0)
    option, changes = {**NETWORKS, **NARROW}[name]
    node = OmegaConf.create(option_values("model", option))
    size = SIZES.get(name, SIZE)
    network = build_network(
        OmegaConf.merge(node, changes), num_classes=CLASSES, image_size=size
    ).eval()
    network.class_names = tuple("abcdef")
    recalibrate(network, [torch.from_numpy(photographs("train", size)).float()])
    return network, size


def spread(network, images):
    """Scales and shifts the last layer; quantiles, since a few images answer far stronger."""
    with torch.inference_mode():
        logits = torch.cat([network(part) for part in torch.from_numpy(images).split(50)])
    low, median, high = logits.quantile(torch.tensor([0.16, 0.5, 0.84]), dim=0)
    *_, last = (m for m in network.modules() if getattr(m, "weight", None) is not None)
    assert last.weight.shape[0] == CLASSES
    factor = 2 * DEVIATION / (high - low)
    with torch.no_grad():
        last.weight.mul_(factor.view(-1, *[1] * (last.weight.dim() - 1)))
        if last.bias is None:
            last.bias = nn.Parameter(torch.zeros(CLASSES))
        last.bias.copy_((last.bias - median) * factor)


def check(network, size, path):
    images = photographs("val", size)
    if not isinstance(network, Int8Network):
        spread(network, images)
    with torch.inference_mode():
        chances = network(torch.from_numpy(images)).softmax(1)
    top = chances.argmax(1)
    assert len(top.unique()) >= 4 and chances.amax(1).median() > 1 / 3  # chance is 1 / 6
    report = export(
        network,
        format_named("onnx"),
        path,
        resize_mode="stretch",
        images=images,
        image_source="val",
    )
    assert report["images"] == IMAGES and report["top1_agreement"] >= 0.995
    assert report["largest_probability_difference"] < 1e-3


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_of_the_zoo(name, tmp_path):
    network, size = make(name)
    check(network, size, tmp_path / "network.onnx")


@pytest.mark.parametrize("chain", SHRINKING)
def test_a_compressed_network(chain, tmp_path):
    name, steps = SHRINKING[chain]
    network, size = make(name)
    images = torch.from_numpy(photographs("train", size))
    labels = torch.arange(IMAGES) % CLASSES
    spread(network, photographs("val", size))  # before, for an int8 network cannot be changed
    batches = [(images[start : start + 50], labels[start : start + 50]) for start in (0, 50, 100)]
    smaller, recipe = compress(network, steps(), sample=images[:8], batches=batches)
    assert len(recipe.entries) == len(chain.split("+"))
    for attribute in ("class_names", "image_size", "num_classes"):
        assert getattr(smaller, attribute) == getattr(network, attribute)
    check(smaller.eval(), size, tmp_path / "network.onnx")
