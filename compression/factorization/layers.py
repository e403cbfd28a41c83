"""Which layers of a network a factorisation looks at, and why it leaves some of them alone."""

from collections import Counter

from torch import nn

from compression.cost.geometry import Geometry, Layer
from compression.factorization.form import Form


def find_layers(network: nn.Module, form: type[Form]) -> dict[str, Layer]:
    """Every layer of the kinds that `form` is about; a product that it made counts as one."""
    found: dict[str, Layer] = {}
    for name, module in network.named_modules():
        inside = name.rpartition(".")[0] in found  # one of a product
        if name and not inside and (isinstance(module, form.layers) or form.is_product(module)):
            found[name] = module
    return found


def unfit_layers(
    network: nn.Module, layers: dict[str, Layer], form: type[Form], *, split: bool
) -> dict[str, str]:
    """Why some of the `layers` cannot be factorised, by name.

    Args:
        network: that has the layers.
        layers: of `find_layers`.
        form: of the product.
        split: whether grouped convolutions are split.
    """
    uses = Counter(
        id(parameter)
        for module in dict(network.named_modules(remove_duplicate=False)).values()
        for parameter in module._parameters.values()
    )
    reasons = {name: _unfit(layer, form, uses, split=split) for name, layer in layers.items()}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _unfit(layer: Layer, form: type[Form], uses: Counter[int], *, split: bool) -> str | None:
    if isinstance(layer, nn.Sequential):
        geometry = Geometry.of(layer)
        return "grouped" if geometry.groups > 1 and not split else None
    if type(layer) not in form.layers:  # its own forward may do something else with the weights
        return type(layer).__name__
    if not isinstance(layer._parameters.get("weight"), nn.Parameter):
        return "computed-weight"
    if uses[id(layer.weight)] > 1:
        return "shared"
    geometry = Geometry.of(layer)
    if geometry.groups > 1 and not split:
        return "grouped"
    return form.unfit(geometry)
