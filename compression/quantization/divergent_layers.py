"""More layers that stay floating, until the logits are as near to the floating ones as is asked."""

import numpy as np
import onnx

from compression.quantization.fitted_weights import Rounded
from compression.quantization.graph import floating_nodes, joining_nodes, layer_nodes
from compression.quantization.graph_divergence import GraphDivergence
from compression.quantization.plan import QuantizePlan

IMAGES = 128  # on which each layer is looked at alone
FEWEST = 10  # layers of a network of which some are left
MOST = 0.5  # of the layers: with fewer in int8 it is another network than the one asked for


def leave_divergent(
    plan: QuantizePlan,
    model: onnx.ModelProto,
    images: np.ndarray,
    rounded: Rounded,
    max_kl: float,
) -> None:
    """Adds to a plan the layers that change the logits most, as many as it takes, and the scan.

    To first order the divergences of single layers add up, so that the order that they have alone
    serves for all.

    Args:
        plan: has what else stays floating; is changed.
        model: of `float_graph`; stays as it is.
        images: N x C x H x W, to judge by.
        rounded: the weights that are rounded here.
        max_kl: nats that the logits may change by.
    """
    if len(plan["layers"]) < FEWEST:
        return
    divergence = GraphDivergence(model, images)
    tried = {0: divergence.of_plan(plan, rounded)}
    if tried[0] <= max_kl:
        return
    judge = GraphDivergence(model, images[:IMAGES])
    alone = {
        layer: judge.of_plan(only_layer(plan, model, layer), rounded) for layer in plan["bits"]
    }
    order = sorted(alone, key=lambda layer: -alone[layer])

    def left(count: int) -> QuantizePlan:
        floating = sorted({*plan["floating"], *order[:count]})
        nodes = {*plan["excluded"], *floating_nodes(model, floating), *joining_nodes(model)}
        return {
            **plan,
            "floating": floating,
            "excluded": sorted(nodes),
            "bits": {layer: plan["bits"][layer] for layer in sorted(order[count:])},
        }

    low, count = 0, max(1, int(MOST * len(plan["layers"])) - len(plan["floating"]))
    tried[count] = divergence.of_plan(left(count), rounded)
    while count - low > 1 and tried[count] <= max_kl:
        middle = (low + count) // 2
        tried[middle] = divergence.of_plan(left(middle), rounded)
        low, count = (low, middle) if tried[middle] <= max_kl else (middle, count)
    plan.update(left(count))
    plan["divergent"] = {
        "alone": alone,
        "kl": [tried[0], tried[count]],
        "kept": order[:count],
    }


def only_layer(plan: QuantizePlan, model: onnx.ModelProto, layer: str) -> QuantizePlan:
    """A plan in which of all layers just one is rounded: its weight, inputs and outputs."""
    others = [name for name in layer_nodes(model) if name != layer]
    return {
        **plan,
        "floating": others,
        "excluded": sorted({*floating_nodes(model, others), *joining_nodes(model)}),
        "bits": {layer: plan["bits"][layer]},
    }
