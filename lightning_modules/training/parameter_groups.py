"""Which parameters decay, and how fast each layer learns."""

from collections.abc import Mapping
from typing import Any, cast

from torch import nn

from lightning_modules.networks import Network, layers, matching_layers


def parameter_groups(
    module: nn.Module,
    *,
    lr: float,
    lr_factors: Mapping[str, float] | None = None,
    layer_decay: float = 1.0,
) -> list[dict[str, Any]]:
    """The trainable parameters of `module` as an optimizer takes them.

    Decay shrinks weights; on biases and normalisation it only hurts (Goyal et al. 2017). The
    first group has the largest rate, so that it is the one that tables show.

    Args:
        module: has the `network` whose layers the two following arguments speak of; all else in
            it learns at the full rate.
        lr: the rate of a layer with factor 1.
        lr_factors: layer pattern -> multiple of `lr`; the last pattern that matches a layer counts.
        layer_decay: each layer with weights learns at this share of the rate of the next one
            towards the head (Clark et al. 2020).
    """
    factors = rate_factors(cast(Network, module.network), lr_factors or {}, layer_decay)
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            layer = name.rpartition(".")[0].removeprefix("network.")
            key = (factors.get(layer, 1.0), parameter.ndim > 1)
            groups.setdefault(key, []).append(parameter)
    return [
        {
            "params": parameters,
            **({} if factor == 1 else {"lr": lr * factor}),
            **({} if decays else {"weight_decay": 0.0}),
        }
        for (factor, decays), parameters in sorted(
            groups.items(), key=lambda item: item[0], reverse=True
        )
    ]


def rate_factors(
    network: Network, lr_factors: Mapping[str, float], layer_decay: float
) -> dict[str, float]:
    """The multiple of the learning rate of each layer, by the layer's name."""
    names = layers(network)
    factors = dict.fromkeys(names, 1.0)
    for pattern, factor in lr_factors.items():
        # A pattern may name what an earlier compression step has taken away.
        factors.update(dict.fromkeys(matching_layers(network, pattern, strict=False), factor))
    above = 1.0
    for name in reversed(names):
        factors[name] *= above
        if any(p.ndim > 1 for p in names[name].parameters(recurse=False)):
            above *= layer_decay
    return factors
