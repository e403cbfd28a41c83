"""Which layers lose too much in eight bits, found by a scan of one layer at a time."""

import copy
import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import onnx

from compression.onnx import onnx_session, run_session
from compression.quantization.graph import int8_graph, layer_nodes, nodes_of
from compression.quantization.plan import QuantizePlan
from compression.sensitivity.stored_metrics import stored_metrics

log = logging.getLogger(__name__)


def quantization_sensitivity(
    model: onnx.ModelProto, plan: QuantizePlan, images: np.ndarray, folder: Path | None
) -> dict[str, float]:
    """Layer -> mean squared change of the logits where of all layers just that one is int8.

    Sums and products between layers are in eight bits, too, as they will be in any case.

    Args:
        model: of `float_graph`; stays as it is.
        plan: has the ranges, and how they were found.
        images: uint8 N x 3 x H x W.
        folder: keeps what was measured before, or None.
    """
    expected = _logits(model.SerializeToString(), images)
    layers = list(layer_nodes(model))
    bits = 7 if plan["reduce_range"] else 8
    how = f"{bits} bits, {plan['method']} {plan['percentile']:g}, {len(images)} images"
    float_output = plan.get("float_output", False)
    if float_output:
        how += ", floating logits"

    def harm(layer: str) -> dict[str, float]:
        others = nodes_of(model, [name for name in layers if name != layer])
        content = int8_graph(
            copy.deepcopy(model),
            plan["ranges"],
            exclude=others,
            reduce_range=plan["reduce_range"],
            float_output=float_output,
        )
        return {"harm": float(np.square(_logits(content, images) - expected).mean())}

    with stored_metrics(folder) as stored:
        return {
            layer: stored.get(f"{layer}: {how}", partial(harm, layer))["harm"] for layer in layers
        }


def select_float_layers(
    harm: Mapping[str, float], macro_f1: Callable[[list[str]], float], min_f1: float
) -> tuple[list[str], list[float]]:
    """As few layers as it takes, those with the most harm first, and macro-F1 with 0, 1, ... kept.

    Args:
        harm: of each layer that may be kept.
        macro_f1: of the int8 network with these layers floating.
        min_f1: macro-F1 to reach; where that is impossible, as near as it gets.
    """
    order = sorted(harm, key=lambda layer: -harm[layer])
    found: list[float] = []
    for count in range(len(order) + 1):
        found.append(macro_f1(order[:count]))
        log.info(f"  {count} layers left floating: macro-F1 {found[-1]:.4f}")
        if found[-1] >= min_f1:
            break
    else:
        count = max(range(len(found)), key=lambda number: found[number])
    return order[:count], found


def _logits(content: bytes, images: np.ndarray) -> np.ndarray:
    return run_session(onnx_session(content), images)
