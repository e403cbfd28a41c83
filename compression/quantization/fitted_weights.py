"""All weights of an ONNX graph rounded, by what the layers of its network are given."""

from collections.abc import Iterable, Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from compression.layer_moments import InputMoments, LayerMoments
from compression.quantization.layer_weights import LayerWeight, layer_weights, shift_bias
from compression.quantization.weight_rounding import RoundedWeight, round_weight

QUANTIZED = "_quantized"  # behind the name of a weight, as onnxruntime's quantiser puts it
INT4_OPSET, INT4_IR = 21, 10  # the first with numbers of four bits

Rounded = list[tuple[LayerWeight, RoundedWeight]]


def input_moments(
    network: nn.Module, moments: InputMoments | None, layers: Iterable[str]
) -> dict[str, LayerMoments]:
    """The moments by the names of layers, of those that have any."""
    if moments is None:
        return {}
    known = dict(network.named_modules())
    return moments.of(
        [name for name in layers if isinstance(known.get(name), nn.Conv2d | nn.Linear)]
    )


def round_weights(
    model: onnx.ModelProto,
    bits: Mapping[str, int],
    moments: Mapping[str, LayerMoments],
    *,
    second_order: bool,
    bias_correction: bool,
) -> Rounded:
    """The weights of the layers that `bits` names, each as `round_weight` rounds it.

    Args:
        model: of `float_graph`; stays as it is.
        bits: of a layer's weight.
        moments: of the inputs of layers; a layer without goes to the nearest level.
        second_order: round by what it does to the outputs.
        bias_correction: find the shifts of biases.
    """
    found = []
    for weight in layer_weights(model):
        if weight.layer not in bits:
            continue
        rows, known = weight.rows, moments.get(weight.layer)
        if known is not None and known.mean.shape != (rows.shape[0], rows.shape[2]):
            known = None
        rounded = round_weight(
            rows,
            bits[weight.layer],
            known,
            second_order=second_order,
            bias_correction=bias_correction,
        )
        found.append((weight, rounded))
    return found


def place_on_grid(model: onnx.ModelProto, rounded: Rounded) -> None:
    """Puts the rounded values where the weights were, and shifts the biases, in place."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for weight, found in rounded:
        value = weight.stored(found.value).astype("float32")
        stored[weight.tensor].CopyFrom(numpy_helper.from_array(value, weight.tensor))
        if found.shift is not None:
            shift_bias(model, weight, found.shift.numpy())


def weight_only_graph(model: onnx.ModelProto, rounded: Rounded, bits: Mapping[str, int]) -> bytes:
    """An ONNX file with weights in few bits, before each a DequantizeLinear; the rest is floating.

    Args:
        model: of `float_graph`; is changed.
        rounded: of `round_weights`.
        bits: of a layer's weight: 4, or 8.
    """
    place_on_grid(model, rounded)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = []
    for weight, found in rounded:
        levels = weight.stored(found.levels).astype("int8")
        name, scale = weight.tensor + QUANTIZED, weight.tensor + "_scale"
        kind = TensorProto.INT4 if bits[weight.layer] == 4 else TensorProto.INT8
        content = _packed(levels) if kind == TensorProto.INT4 else levels.tobytes()
        model.graph.initializer.remove(stored[weight.tensor])
        model.graph.initializer.extend(
            [
                helper.make_tensor(name, kind, levels.shape, content, raw=True),
                numpy_helper.from_array(found.scale.flatten().numpy().astype("float32"), scale),
            ]
        )
        nodes.append(
            helper.make_node(
                "DequantizeLinear",
                [name, scale],
                [weight.tensor],
                name=f"{weight.tensor}_dequantize",
                axis=weight.axis,
            )
        )
    nodes.extend(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    if 4 in bits.values():
        (opset,) = (own for own in model.opset_import if own.domain == "")
        opset.version = max(opset.version, INT4_OPSET)
        model.ir_version = max(model.ir_version, INT4_IR)
    return model.SerializeToString()


def _packed(levels: np.ndarray) -> bytes:
    """Two numbers of four bits a byte, the first in its lower half."""
    flat = levels.flatten()
    if len(flat) % 2:
        flat = np.append(flat, np.int8(0))
    pairs = flat.view(np.uint8).reshape(-1, 2) & 0x0F
    return (pairs[:, 0] | pairs[:, 1] << 4).astype(np.uint8).tobytes()
