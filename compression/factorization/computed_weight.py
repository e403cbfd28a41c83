"""Layers that compute their weight before they use it, as those of other tensors' norm.

Weight standardization (Qiao et al. 2019, arXiv:1903.10520; scaled in NFNets: Brock et al. 2021,
arXiv:2101.08692), weight and spectral normalization: a product has the factors of what the layer
makes of its parameters.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from compression.cost.geometry import Plain
from compression.network_copy import copy_network

PLAIN_TYPES = (nn.Conv2d, nn.Linear)
OF_CALL = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")


def layer_weight(layer: Plain) -> Tensor | None:
    """The weight that a layer convolves or multiplies its input with, without a gradient.

    Args:
        layer: in evaluation; stays as it is.

    Returns:
        None where the layer does something else, or where its weight depends on the input.
    """
    if type(layer) in PLAIN_TYPES:
        return layer.weight.detach()
    twin = copy_network(layer).eval()
    own = [*twin.named_parameters(), *twin.named_buffers()]
    tensors = {name: tensor.detach() for name, tensor in own}
    bias = None if layer.bias is None else tensors.get("bias")
    x = _input(layer)
    watch = _Watch()
    try:
        with torch.enable_grad(), watch:
            out = functional_call(twin, tensors, (x,))
    except Exception:  # whatever the layer's own code raises
        return None
    if len(watch.calls) != 1 or watch.out is not out or (bias is None) != (layer.bias is None):
        return None
    call = watch.calls[0]
    weight, settings = call["weight"], _settings(layer)
    shape = (
        (layer.out_features, layer.in_features)
        if isinstance(layer, nn.Linear)
        else (layer.out_channels, layer.in_channels // layer.groups, *layer.kernel_size)
    )
    plain = call["input"] is x and call.get("bias") is bias and tuple(weight.shape) == shape
    if not plain or weight.requires_grad or any(call.get(k, v) != v for k, v in settings.items()):
        return None
    return weight


def _input(layer: Plain) -> Tensor:
    """The smallest that it takes, 1 x C x H x W or 1 x features; what is made of it has a grad."""
    parameter = next(layer.parameters())
    shape: tuple[int, ...] = (
        (1, layer.in_features)
        if isinstance(layer, nn.Linear)
        else (
            1,
            layer.in_channels,
            *(d * (k - 1) + 1 for d, k in zip(layer.dilation, layer.kernel_size, strict=True)),
        )
    )
    return torch.zeros(shape, dtype=parameter.dtype, device=parameter.device, requires_grad=True)


def _settings(layer: Plain) -> dict[str, Any]:
    if isinstance(layer, nn.Linear):
        return {}
    names = ("stride", "padding", "dilation", "groups")
    return {name: getattr(layer, name) for name in names}


class _Watch(TorchFunctionMode):
    """Notes the convolutions and products of a call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[dict[str, Any]] = []
        self.out: Any = None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in (functional.conv2d, functional.linear):
            self.calls.append({**dict(zip(OF_CALL, args, strict=False)), **(kwargs or {})})
            self.out = out
        return out
