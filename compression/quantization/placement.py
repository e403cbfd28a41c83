"""Where a network is rounded: activations of its int8 file, found again in its training graph."""

import copy
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import torch
from torch import fx

from compression.onnx import fixed_batch, onnx_session
from compression.quantization.training_graph import Values

CLOSE = 1e-3  # largest difference of two values of one activation, relative to the largest value
OF_CONSTANT = "_quantized"  # and behind the name of a constant
KINDS = {onnx.TensorProto.UINT8: "uint8", onnx.TensorProto.INT8: "int8"}
OF_OUTPUT = "_QuantizeLinear_Input"  # what onnxruntime puts behind the name of a graph's output


def rounded_activations(content: bytes) -> list[str]:
    """The activations of an int8 file with a scale of their own, in the order of the graph.

    Those that share the scale of another one, such as what max-pooling gives, are rounded
    already.
    """
    graph = onnx.load_from_string(content).graph
    constant = {tensor.name for tensor in graph.initializer}
    found = []
    for node in graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] not in constant:
            name = node.input[0].removesuffix(OF_OUTPUT)
            if node.input[1] == f"{name}_scale":
                found.append(name)
    return found


def rerounded_activations(content: bytes) -> dict[str, str]:
    """Activations that are new values in the scale of another one -> that one.

    What average pooling and resizing give lies between the levels of what they are given.
    """
    graph = onnx.load_from_string(content).graph
    makers = {output: node.op_type for node in graph.node for output in node.output}
    found = {}
    for node in graph.node:
        name = node.input[0]
        if node.op_type == "QuantizeLinear" and makers.get(name) in ("AveragePool", "Resize"):
            owner = node.input[1].removesuffix("_scale")
            if owner != name:
                found[name] = owner
    return found


def fixed_activations(model: onnx.ModelProto, activations: Sequence[str]) -> list[str]:
    """Those that onnxruntime rounds between 0 and 1, whatever calibration found: of softmax."""
    softmax = {node.output[0] for node in model.graph.node if node.op_type == "Softmax"}
    return [name for name in activations if name in softmax]


def rounded_constants(content: bytes) -> dict[str, str]:
    """The constants of an int8 file with one scale each -> `uint8` or `int8`.

    They are factors of normalisations (int8), and what is added or multiplied elsewhere (uint8).
    """
    graph = onnx.load_from_string(content).graph
    constant = {tensor.name: tensor for tensor in graph.initializer}
    found = {}
    for node in graph.node:
        if node.op_type != "DequantizeLinear" or node.input[0] not in constant:
            continue
        tensor, scale = (constant[name] for name in node.input[:2])
        kind = KINDS.get(tensor.data_type)
        if kind and not scale.dims:
            found[node.input[0].removesuffix(OF_CONSTANT)] = kind
    return found


def constant_places(
    graph: fx.GraphModule, model: onnx.ModelProto, constants: Mapping[str, str]
) -> dict[str, str]:
    """The node of a training graph that gives a constant -> `uint8` or `int8`.

    Args:
        graph: of `trainable_graph`, in evaluation.
        model: the network's ONNX graph, of `float_graph`.
        constants: of `rounded_constants`.
    """
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    values = Values(graph)
    given = {
        node.name: values.fetch_attr(str(node.target)).detach().numpy()
        for node in graph.graph.nodes
        if node.op == "get_attr" and node.users
    }
    found: dict[str, str] = {}
    for name, kind in constants.items():
        value = onnx.numpy_helper.to_array(stored[name]) if name in stored else None
        if value is None:
            continue
        same = [node for node, other in given.items() if _same(value, other)]
        named = [node for node in same if node == name.replace(".", "_")]
        free = [node for node in [*named, *same] if node not in found]
        if free:
            found[free[0]] = kind
    return found


def places(
    graph: fx.GraphModule, model: onnx.ModelProto, activations: Sequence[str], images: np.ndarray
) -> dict[str, str]:
    """Activation -> the node of a training graph that gives the same values for some images.

    Activations inside operations that training does not take apart are left out.

    Args:
        graph: of `trainable_graph`, in evaluation.
        model: the network's ONNX graph, of `float_graph`.
        activations: of that graph.
        images: a few, N x C x H x W.
    """
    values = Values(graph)
    with torch.no_grad():
        values.run(torch.from_numpy(images).float())
    wanted = _onnx_values(model, activations, images)
    found: dict[str, str] = {}
    for name, value in wanted.items():
        same = [node for node, other in values.found.items() if _same(value, other.numpy())]
        free = [node for node in same if node not in found.values()]
        if free:
            found[name] = free[0]
    return found


def _onnx_values(
    model: onnx.ModelProto, names: Sequence[str], images: np.ndarray
) -> Mapping[str, np.ndarray]:
    model = copy.deepcopy(model)
    outputs = {output.name for output in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n not in outputs)
    session = onnx_session(model.SerializeToString())
    size = fixed_batch(session) or len(images)
    parts = [
        session.run(list(names), {"images": images[start : start + size]})
        for start in range(0, len(images), size)
    ]
    joined = (
        values[0] if len(parts) == 1 else np.concatenate(values)
        for values in zip(*parts, strict=True)
    )
    return dict(zip(names, joined, strict=True))


def _same(value: np.ndarray, other: np.ndarray) -> bool:
    if value.shape != other.shape:
        return False
    return bool(np.abs(value - other).max() <= CLOSE * np.abs(value).max())
