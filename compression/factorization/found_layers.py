"""The layers of a network that a decomposition concerns, and why some cannot be factorised."""

from collections import Counter

from torch import nn

from compression.cost import Geometry
from compression.cost.geometry import Layer
from compression.factorization.computed_weight import layer_weight
from compression.factorization.decomposition import Decomposition
from compression.factorization.plan import COMPUTED, HOOKED, MASKED, OWN_FORWARD, SHARED


def find_layers(network: nn.Module, decomposition: type[Decomposition]) -> dict[str, Layer]:
    """Every layer that a decomposition concerns; a product that it made counts as one."""
    found: dict[str, Layer] = {}
    for name, module in network.named_modules():
        inside = name.rpartition(".")[0] in found  # one of a product
        if name and not inside and decomposition.concerns(module):
            found[name] = module
    return found


def unsupported_layers(
    network: nn.Module, layers: dict[str, Layer], decomposition: type[Decomposition], *, split: bool
) -> dict[str, str]:
    """Why some of the `layers` cannot be factorised, by name.

    Args:
        network: that has the layers.
        layers: of `find_layers`.
        decomposition: of the product.
        split: whether grouped convolutions are split.
    """
    uses = Counter(
        id(parameter)
        for module in dict(network.named_modules(remove_duplicate=False)).values()
        for parameter in module._parameters.values()
    )
    reasons = {
        name: _unsupported_reason(layer, decomposition, uses, split=split)
        for name, layer in layers.items()
    }
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _unsupported_reason(
    layer: Layer, decomposition: type[Decomposition], uses: Counter[int], *, split: bool
) -> str | None:
    if isinstance(layer, nn.Sequential):
        geometry = Geometry.of(layer)
        return "grouped" if geometry.groups > 1 and not split else None
    if "forward" in vars(layer):
        return OWN_FORWARD
    own = type(layer) not in decomposition.layers
    if not own and not isinstance(layer._parameters.get("weight"), nn.Parameter):
        return MASKED if "weight_mask" in layer._buffers else COMPUTED
    if layer._forward_hooks or layer._forward_pre_hooks:
        return HOOKED
    if own and layer_weight(layer) is None:
        return type(layer).__name__  # its forward does something else with the weights
    if any(uses[id(parameter)] > 1 for parameter in layer.parameters()):
        return SHARED
    geometry = Geometry.of(layer)
    if geometry.groups > 1 and not split:
        return "grouped"
    return decomposition.unsupported_reason(geometry)
