"""Steps that take a network to the target of the zoo table, and how far they could at best."""

import math

from torch import Tensor, nn

from compression.cost import count_macs, forward_shapes, runnable_copy
from compression.factorization import SVD, SpatialSVD, Tucker
from compression.step import Step

SHARE = 0.6  # of the MACs, which every step is to reach


def steps_of(network: nn.Module, size: int, kind: str) -> list[Step]:
    """The step to the target; `svd` is helped by spatial_svd where it cannot get there alone."""
    target, split = {"macs": SHARE}, {"groups": "split"}
    if kind == "tucker":
        return [Tucker(target=target)]
    alone, kernels = (least_share(network, size, part) for part in ("svd", "spatial"))
    if alone <= SHARE - 0.05 or least_share(network, size, "both") > SHARE * 1.02:
        return [SVD(target=target, **split)]
    first = max((kernels + 1) / 2, SHARE)
    if alone - (1 - first) > SHARE - 0.02:
        # The linear layers give too little: kernels must give more.
        first = max(SHARE + 1 - alone + 0.02, kernels + 0.01)
    if first <= SHARE * 1.02 or alone >= 0.98:
        return [SpatialSVD(target=target, **split)]
    return [
        SpatialSVD(target={"macs": first}, **split),
        SVD(target={"macs": SHARE / first}, **split),
    ]


def least_share(network: nn.Module, size: int, kind: str) -> float:
    """Of the MACs, if every layer that `tucker`, `svd`, `spatial` or `both` of these is for had
    the least rank.
    """
    saved = 0
    for layer, places_in, places_out in _calls(network, size):
        full, least = _least_rank(layer, places_in, places_out, kind)
        saved += max(0, full - least)
    return 1 - saved / count_macs(network, size)


def _least_rank(layer: nn.Module, places_in: int, places_out: int, kind: str) -> tuple[int, int]:
    """MACs of a layer as it is, and as a product of rank 1 (of each group); colours stay three."""
    if isinstance(layer, nn.Linear):
        cost = places_out * (layer.in_features + layer.out_features)
        return places_out * layer.weight.numel(), cost if kind in ("svd", "both") else 10**18
    assert isinstance(layer, nn.Conv2d)
    full = places_out * layer.weight.numel()
    area, channels, out = math.prod(layer.kernel_size), layer.in_channels, layer.out_channels
    if area == 1 and kind in ("svd", "both"):
        return full, places_in * channels + places_out * out
    if area > 1 and kind == "tucker" and layer.groups == 1:
        inner = channels if channels <= 3 else 1
        return full, places_in * channels * inner + places_out * (area * inner + out)
    if area > 1 and kind in ("spatial", "both"):
        # A column of stride (s, 1), then a row: between them lie places of both kinds.
        between = places_out * layer.stride[1]
        high, wide = layer.kernel_size
        return full, min(full, between * channels * high + places_out * out * wide)
    return full, full


def _calls(network: nn.Module, size: int) -> list[tuple[nn.Module, int, int]]:
    """Each convolution and Linear that is called, with its places before and after."""
    found = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, nn.Linear):
            places = output.numel() // output.shape[-1]
            found.append((module, places, places))
        else:
            before, after = (math.prod(t.shape) // t.shape[1] for t in (inputs[0], output))
            found.append((module, before, after))

    copy = runnable_copy(network, size)
    for module in copy.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(note)
    forward_shapes(copy, size)
    return found
