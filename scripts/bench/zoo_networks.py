"""The networks of the zoo table: torchvision's, timm's, a ShuffleNet v1."""

import torch
from omegaconf import OmegaConf

from lightning_modules.config import option_values
from lightning_modules.errors import ConfigError
from lightning_modules.networks import Network, build_network, meta_network

CLASSES = 3
SIZES = (64, 96, 128, 160, 224, 240, 256)  # pixels; the smallest that a network takes is used
TORCHVISION = {
    "alexnet": ["alexnet"],
    "convnext": ["convnext_tiny"],
    "densenet": ["densenet121"],
    "efficientnet": ["efficientnet_b0", "efficientnet_v2_s"],
    "googlenet": ["googlenet"],
    "inception": ["inception_v3"],
    "maxvit": ["maxvit_t"],
    "mnasnet": ["mnasnet0_5", "mnasnet1_0"],
    "mobilenet_v2": ["mobilenet_v2"],
    "mobilenet_v3": ["mobilenet_v3_small", "mobilenet_v3_large"],
    "regnet": ["regnet_x_400mf", "regnet_y_400mf"],
    "resnet": ["resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2"],
    "shufflenet_v2": ["shufflenet_v2_x0_5", "shufflenet_v2_x1_0"],
    "squeezenet": ["squeezenet1_1"],
    "swin": ["swin_t", "swin_v2_t"],
    "vgg": ["vgg11_bn"],
    "vit": ["vit_b_16"],
}
TIMM = [
    "convmixer_768_32", "convnextv2_atto", "cspresnet50", "davit_tiny", "deit_tiny_patch16_224",
    "dla34", "edgenext_xx_small", "efficientformer_l1", "efficientvit_b0", "fastvit_t8",
    "ghostnet_050", "hgnetv2_b0", "hrnet_w18_small", "lcnet_050", "levit_128s", "mixer_s16_224",
    "mobilenetv4_conv_small", "mobileone_s0", "mobilevit_xxs", "nf_regnet_b0", "pit_ti_224",
    "poolformer_s12", "pvt_v2_b0", "repvit_m0_9", "res2net50_26w_4s", "resnet26d", "rexnet_100",
    "seresnet18", "skresnet18", "vit_tiny_patch16_224",
    # issue 20: attention biases by head, branches of many kernel sizes, windows as a fifth axis
    "efficientvit_m0", "efficientvit_m5", "mixnet_s", "hiera_tiny_224", "nest_tiny",
    # issue 22: standardized kernels
    "nf_seresnet26",
]  # fmt: skip
NETWORKS = {
    **{name: (family, {"variant": name}) for family in TORCHVISION for name in TORCHVISION[family]},
    **{name: ("timm", {"name": name}) for name in TIMM},
    "shufflenet_g3": ("shufflenet_g3", {}),
}


def zoo_network(name: str) -> tuple[Network, int]:
    """A network of the table with random weights, in eval mode, and its image size in pixels."""
    torch.manual_seed(0)
    option, changes = NETWORKS[name]
    node = OmegaConf.create(option_values("model", option))
    node = OmegaConf.merge(node, changes, {"input_size": None})
    size = _smallest_size(node)
    return build_network(node, num_classes=CLASSES, image_size=size).eval(), size


def _smallest_size(node: object) -> int:
    for size in SIZES:
        try:
            meta_network(node, num_classes=CLASSES, image_size=size)
        except ConfigError:
            continue
        return size
    raise ConfigError("It takes images of none of these sizes.")
