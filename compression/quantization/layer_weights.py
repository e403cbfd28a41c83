"""The weights of an ONNX graph's layers as rows of numbers, and back."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from compression.quantization.graph import layer_nodes


@dataclass(frozen=True, kw_only=True)
class LayerWeight:
    """The weight of a layer in an ONNX graph.

    Attributes:
        layer: its name.
        nodes: names of those that have this weight; several where layers share it.
        tensor: the name of the initialiser.
        value: as it is stored.
        axis: along which it counts outputs.
        groups: of inputs and outputs.
    """

    layer: str
    nodes: list[str]
    tensor: str
    value: np.ndarray
    axis: int
    groups: int

    @property
    def depthwise(self) -> bool:
        """Whether each output sees one channel: such products don't go through a matrix product."""
        return self.groups > 1 and self.value.shape[1] == 1

    @property
    def rows(self) -> Tensor:
        """G x O x d in float64: as the moments of a layer's inputs count them."""
        weight = torch.from_numpy(np.moveaxis(self.value, self.axis, 0).astype(np.float64))
        return weight.reshape(self.groups, weight.shape[0] // self.groups, -1)

    def stored(self, rows: Tensor) -> np.ndarray:
        """Rows G x O x d in the shape that the weight is stored in."""
        outputs = self.value.shape[self.axis]
        inner = tuple(np.delete(self.value.shape, self.axis))
        return np.moveaxis(rows.reshape(outputs, *inner).numpy(), 0, self.axis)


def layer_weights(model: onnx.ModelProto) -> Iterator[LayerWeight]:
    """The weights of convolutions and products; not of convolutions that go up."""
    nodes = {node.name: node for node in model.graph.node}
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for layer, names in layer_nodes(model).items():
        first = nodes[names[0]]
        if first.op_type == "ConvTranspose":
            continue
        value = numpy_helper.to_array(stored[first.input[1]])
        if value.ndim < 2 or (first.op_type == "MatMul" and value.ndim != 2):
            continue
        yield LayerWeight(
            layer=layer,
            nodes=names,
            tensor=first.input[1],
            value=value,
            axis=_output_axis(first),
            groups=_number(first, "group", 1) if first.op_type == "Conv" else 1,
        )


def _output_axis(node: onnx.NodeProto) -> int:
    if node.op_type == "Conv":
        return 0
    return 0 if node.op_type == "Gemm" and _number(node, "transB", 0) else 1


def _number(node: onnx.NodeProto, name: str, otherwise: int) -> int:
    return next((a.i for a in node.attribute if a.name == name), otherwise)


def shift_bias(model: onnx.ModelProto, layer: LayerWeight, shift: np.ndarray) -> None:
    """Adds to the bias of a layer's nodes, in place; a product of more than two axes has none."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    users = [name for node in model.graph.node for name in node.input]
    for node in model.graph.node:
        if node.name not in layer.nodes or node.op_type == "MatMul":
            continue
        name = f"{node.name}_corrected_bias"
        before: np.ndarray = np.zeros((), np.float32)
        if len(node.input) > 2 and node.input[2]:
            old = node.input[2]
            if old not in stored:
                continue
            before = numpy_helper.to_array(stored[old])
            if users.count(old) == 1:
                name = old
                model.graph.initializer.remove(stored[old])
        beta = next((a.f for a in node.attribute if a.name == "beta"), 1.0)
        value = (before + shift / beta).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(value, name))
        del node.input[2:]
        node.input.append(name)
