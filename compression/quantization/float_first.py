"""How many first layers stay floating, by what all the others then do to the logits.

What the first layers round goes through all that follow, and there is little to compute in them
(Krishnamoorthi 2018, arXiv:1806.08342, section 6, keeps them wider, too).
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import onnx

from compression.quantization.fitted_weights import Rounded
from compression.quantization.graph import floating_nodes, gate_nodes, layer_nodes
from compression.quantization.graph_divergence import GraphDivergence
from compression.quantization.plan import FloatFirst, QuantizePlan

MOST = 2  # first layers that are tried
SHARE = 10  # of so many layers one may stay floating


def leave_first(
    plan: QuantizePlan,
    model: onnx.ModelProto,
    images: np.ndarray,
    rounded: Rounded,
    count: Literal["auto"] | int,
) -> None:
    """Adds to a plan the first layers and the gates that stay floating, and what was measured.

    Args:
        plan: of all that is rounded; is changed.
        model: of `float_graph`; stays as it is.
        images: N x C x H x W, to judge by.
        rounded: the weights that are rounded here.
        count: of layers, or what changes the logits least.
    """
    tried = list(_choices(model, plan, count))
    if len(tried) == 1 and count in ("auto", 0):
        return
    divergence = GraphDivergence(model, images)
    found: list[FloatFirst] = []
    for layers, gates in tried:
        kl = divergence.of_plan(_left(plan, model, layers, gates), rounded)
        found.append({"layers": layers, "gates": gates, "kl": kl})
    best = min(found, key=lambda choice: choice["kl"])
    plan.update(_left(plan, model, best["layers"], best["gates"]))
    plan["first"] = [*(choice for choice in found if choice is not best), best]


def _choices(
    model: onnx.ModelProto, plan: QuantizePlan, count: Literal["auto"] | int
) -> Iterator[tuple[int, bool]]:
    """How many layers, and whether gates; the first is nothing, unless a number is wanted."""
    if count != "auto":
        yield count, count > 0
        return
    most = min(MOST, len(plan["layers"]) // SHARE)
    for layers in range(most + 1):
        yield layers, False
        if most and gate_nodes(model):
            yield layers, True


def _left(plan: QuantizePlan, model: onnx.ModelProto, layers: int, gates: bool) -> QuantizePlan:
    """A plan with some first layers and perhaps the gates floating, too."""
    first = list(layer_nodes(model))[:layers]
    floating = sorted({*plan["floating"], *first})
    nodes = {
        *plan["excluded"],
        *floating_nodes(model, first),
        *(gate_nodes(model) if gates else ()),
    }
    return {
        **plan,
        "floating": floating,
        "excluded": sorted(nodes),
        "bits": {layer: bits for layer, bits in plan["bits"].items() if layer not in floating},
    }
