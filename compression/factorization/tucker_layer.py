"""A convolution as three: 1x1 down to few channels, the kernel between them, 1x1 back up."""

import torch
from torch import nn

from compression.factorization.decomposition import tucker2

Layer = nn.Conv2d | nn.Sequential


def is_tucker_layer(module: nn.Module) -> bool:
    """Whether `module` is what `tucker_layer` makes, of this run or an earlier one."""
    if type(module) is not nn.Sequential or len(module) != 3:
        return False
    if any(type(conv) is not nn.Conv2d or conv.groups != 1 for conv in module):
        return False
    reduce, core, expand = module
    pointwise = all(
        conv.kernel_size == (1, 1) and conv.stride == (1, 1) and conv.padding == (0, 0)
        for conv in (reduce, expand)
    )
    return pointwise and core.kernel_size != (1, 1) and reduce.bias is None and core.bias is None


def kernel_of(layer: Layer) -> nn.Conv2d:
    """The convolution whose kernel is decomposed: the layer itself, or the middle one of three."""
    return layer[1] if isinstance(layer, nn.Sequential) else layer


def channels_of(layer: Layer) -> list[int]:
    """Output and input channels of that convolution."""
    kernel = kernel_of(layer)
    return [kernel.out_channels, kernel.in_channels]


def convolutions(network: nn.Module) -> dict[str, Layer]:
    """Every convolution by name; one that is factorised already counts as one."""
    found: dict[str, Layer] = {}
    for name, module in network.named_modules():
        inside = name.rpartition(".")[0] in found  # one of the three
        if name and not inside and (is_tucker_layer(module) or isinstance(module, nn.Conv2d)):
            found[name] = module
    return found


def tucker_layer(layer: Layer, rank: tuple[int, int]) -> nn.Sequential:
    """The structure that replaces `layer`, on its device; the weights are not carried over.

    Args:
        layer: a convolution with one group, or an earlier result of this function.
        rank: (out, in) channels of the new middle convolution.
    """
    kernel = kernel_of(layer)
    first, last = (layer[0], layer[2]) if isinstance(layer, nn.Sequential) else (layer, layer)
    like = {"device": kernel.weight.device, "dtype": kernel.weight.dtype}
    core = nn.Conv2d(
        rank[1],
        rank[0],
        kernel.kernel_size,
        stride=kernel.stride,
        padding=kernel.padding,
        dilation=kernel.dilation,
        padding_mode=kernel.padding_mode,
        bias=False,
        **like,
    )
    return nn.Sequential(
        nn.Conv2d(first.in_channels, rank[1], 1, bias=False, **like),
        core,
        nn.Conv2d(rank[0], last.out_channels, 1, bias=last.bias is not None, **like),
    ).train(layer.training)


@torch.no_grad()
def fill_tucker_layer(new: nn.Sequential, layer: Layer) -> None:
    """Give `new`, made by `tucker_layer`, the best weights for what `layer` computes."""
    reduce, core, expand = new
    small, outer, inner = tucker2(kernel_of(layer).weight, core.weight.shape[:2])
    down, up, bias = inner.T, outer, layer.bias if isinstance(layer, nn.Conv2d) else layer[2].bias
    if isinstance(layer, nn.Sequential):  # the factors of the core go into the 1x1 convolutions
        down = down @ layer[0].weight.flatten(1).to(down)  # r_in x C_in
        up = layer[2].weight.flatten(1).to(up) @ up  # C_out x r_out
    reduce.weight.copy_(down[:, :, None, None])
    core.weight.copy_(small)
    expand.weight.copy_(up[:, :, None, None])
    if bias is not None:
        expand.bias.copy_(bias)
