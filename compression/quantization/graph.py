"""The ONNX graph of a network, ready to be quantised, and the int8 graph made of it."""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnx
import torch
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

from compression.cost import float_dtype
from compression.images import RAW_PIXELS, ImageKind
from compression.network_copy import copy_network
from compression.onnx import export_onnx, suppress_output
from compression.quantization.calibration import Ranges, as_tensors_data
from compression.step import match_layers

WEIGHT = ".weight"
# What hard-swish and squeeze-and-excitation are made of.
GATES = ("Mul", "Sigmoid", "HardSigmoid")
ELEMENTWISE = (*GATES, "Relu", "Clip")
JOINING = (*GATES, "Add", "ReduceMean", "GlobalAveragePool")

Grid = tuple[int, Sequence[float]]  # axis, scales


def float_graph(
    network: nn.Module, image_size: Sequence[int], images: ImageKind = RAW_PIXELS
) -> onnx.ModelProto:
    """The exported network with BatchNorm folded, constants computed and shapes known.

    In float32, whatever the network's own numbers are: onnxruntime quantises no others.
    """
    if float_dtype(network) != torch.float32:
        network = copy_network(network).float()
    with tempfile.TemporaryDirectory() as folder, suppress_output():
        exported = export_onnx(network, Path(folder) / "float.onnx", image_size, images=images)
        ready = Path(folder) / "ready.onnx"
        # Symbolic inference takes a second and finds nothing that the exporter did not write.
        quant_pre_process(str(exported), str(ready), skip_symbolic_shape=True)
        return onnx.load(ready)


def layer_nodes(model: onnx.ModelProto) -> dict[str, list[str]]:
    """Layer -> its nodes with weights: several, where layers share a weight.

    A node whose weight lost its name is its own layer.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    found: dict[str, list[str]] = {}
    for node in model.graph.node:
        if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul") and node.input[1] in weights:
            name = node.input[1]
            layer = name.removesuffix(WEIGHT) if name.endswith(WEIGHT) else node.name
            found.setdefault(layer, []).append(node.name)
    return found


def excluded_layers(model: onnx.ModelProto, patterns: Iterable[str]) -> list[str]:
    """The layers whose names match one of the patterns.

    Raises:
        CompressionError: a pattern matches no layer; says the nearest names.
    """
    return sorted(match_layers(list(layer_nodes(model)), patterns, []))


def unquantizable_layers(model: onnx.ModelProto) -> list[str]:
    """The layers that onnxruntime's quantiser fails on: transposed convolutions in groups.

    It has a scale for each output of a group, and a bias for each output of all of them.
    """
    grouped = {
        node.name
        for node in model.graph.node
        if node.op_type == "ConvTranspose"
        and any(a.name == "group" and a.i > 1 for a in node.attribute)
    }
    return sorted(name for name, nodes in layer_nodes(model).items() if grouped & {*nodes})


def nodes_of(model: onnx.ModelProto, layers: Iterable[str]) -> list[str]:
    """The nodes of some layers."""
    nodes = layer_nodes(model)
    return sorted(node for layer in layers for node in nodes[layer])


def gate_nodes(model: onnx.ModelProto) -> list[str]:
    """The products and the sigmoids: each rounds what it is given and what it gives."""
    return sorted({node.name for node in model.graph.node if node.op_type in GATES})


def joining_nodes(model: onnx.ModelProto) -> list[str]:
    """Gates, sums and means: what layers beside them round is rounded for them, too."""
    return sorted({node.name for node in model.graph.node if node.op_type in JOINING})


def floating_nodes(model: onnx.ModelProto, layers: Iterable[str]) -> list[str]:
    """The nodes of some layers, and what is computed element by element of their outputs alone."""
    constant = {tensor.name for tensor in model.graph.initializer}
    found = set(nodes_of(model, layers))
    floating: set[str] = set()
    for node in model.graph.node:
        read = {name for name in node.input if name} - constant
        if node.op_type in ELEMENTWISE and read and read <= floating:
            found.add(node.name)
        if node.name in found:
            floating.update(node.output)
    return sorted(found)


def int8_graph(
    model: onnx.ModelProto,
    ranges: Ranges,
    *,
    exclude: Sequence[str],
    reduce_range: bool,
    grids: Mapping[str, Grid] = MappingProxyType({}),
    float_output: bool = False,
) -> bytes:
    """An ONNX file with unsigned 8-bit activations and signed 8-bit weights, one scale a channel.

    Args:
        model: of `float_graph`; is changed.
        ranges: of its activations.
        exclude: nodes that stay floating.
        reduce_range: 7-bit weights. With 8 bits, sums overflow on x86 processors without VNNI.
        grids: by the tensor of a weight that lies on its levels already: the axis along which it
            counts outputs, and the scale of each.
        float_output: the logits are not rounded: their order decides, and it costs no time.
    """
    overrides = {
        tensor: [
            {"axis": axis, "scale": np.float32(step), "zero_point": np.int8(0)} for step in scale
        ]
        for tensor, (axis, scale) in grids.items()
    }
    with suppress_output():
        quantizer = QDQQuantizer(
            model,
            per_channel=True,
            reduce_range=reduce_range,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=as_tensors_data(ranges),
            nodes_to_quantize=[],
            nodes_to_exclude=list(exclude),
            op_types_to_quantize=[*QDQRegistry, *QLinearOpsRegistry],
            extra_options={"TensorQuantOverrides": overrides},
        )
        quantizer.quantize_model()
    quantized: onnx.ModelProto = quantizer.model.model
    if float_output:
        _leave_output(quantized)
    return quantized.SerializeToString()


def _leave_output(model: onnx.ModelProto) -> None:
    """Takes out what rounds the output of a graph, if anything does."""
    makers = {name: node for node in model.graph.node for name in node.output}
    output = model.graph.output[0].name
    back = makers[output]
    there = makers.get(back.input[0]) if back.op_type == "DequantizeLinear" else None
    if there is None:
        return
    before = there.input[0]
    model.graph.node.remove(back)
    model.graph.node.remove(there)
    for node in model.graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == before:
                    names[place] = output
