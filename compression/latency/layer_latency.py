"""How long single layers take in onnxruntime, from graphs that are written directly.

Exporting a network takes seconds; such a graph takes milliseconds, so layers can be compared by the
dozen. Weights are noise: the time does not depend on them.
"""

from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from compression.cost.geometry import Layer, factors_of
from compression.latency.measure import interleaved_times
from compression.onnx import onnx_session

OPSET, IR_VERSION = 20, 10
SECONDS = 0.05  # to spend on one comparison, if it allows MAX_REPEATS repeats or needs MIN_REPEATS
MIN_REPEATS, MAX_REPEATS = 7, 50
PAD_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def compare_layers(
    layers: Sequence[tuple[Layer, Sequence[int]]], *, threads: int = 1
) -> list[float]:
    """Milliseconds of each layer for one input, as medians of runs that take turns.

    Args:
        layers: plain convolutions and Linear layers, or chains of them, which may be on meta; each
            with the shape of its input, N x C x H x W, or ... x features.
        threads: that a layer may use.
    """
    calls = [_call(layer, shape, threads) for layer, shape in layers]
    start = perf_counter()
    for call in calls:
        call()
    repeats = round(SECONDS / (perf_counter() - start))
    times = interleaved_times(calls, min(max(repeats, MIN_REPEATS), MAX_REPEATS))
    return [1e3 * float(median) for median in np.median(times, axis=1)]


def _call(layer: Layer, shape: Sequence[int], threads: int) -> Callable[[], object]:
    values = np.random.default_rng(0).standard_normal(tuple(shape), dtype=np.float32)
    session = onnx_session(layer_graph(layer, shape).SerializeToString(), threads=threads)
    return lambda: session.run(None, {"x": values})


def layer_graph(layer: Layer, shape: Sequence[int]) -> onnx.ModelProto:
    """The graph from `x` to `y` of a layer with random weights, in float32."""
    nodes, weights, name = [], [], "x"
    for number, part in enumerate(factors_of(layer)):
        if isinstance(part, nn.Conv2d):
            name, new, arrays = _convolution(part, name, f"y{number}")
        else:
            name, new, arrays = _linear(part, name, f"y{number}")
        nodes += new
        weights += [numpy_helper.from_array(array, key) for key, array in arrays.items()]
    graph = helper.make_graph(
        [*nodes, helper.make_node("Identity", [name], ["y"])],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * len(shape))],
        weights,
    )
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def _convolution(
    conv: nn.Conv2d, source: str, name: str
) -> tuple[str, list[onnx.NodeProto], dict[str, np.ndarray]]:
    pads, nodes = _pads(conv), []
    arrays = {f"{name}_w": _noise(conv.weight.shape)}
    if conv.padding_mode != "zeros" and any(pads):
        arrays[f"{name}_pads"] = np.array([0, 0, *pads[:2], 0, 0, *pads[2:]], dtype=np.int64)
        mode = PAD_MODES[conv.padding_mode]
        nodes.append(helper.make_node("Pad", [source, f"{name}_pads"], [f"{name}_p"], mode=mode))
        source, pads = f"{name}_p", [0, 0, 0, 0]
    inputs = [source, f"{name}_w"]
    if conv.bias is not None:
        arrays[f"{name}_b"] = _noise(conv.bias.shape)
        inputs.append(f"{name}_b")
    node = helper.make_node(
        "Conv",
        inputs,
        [name],
        kernel_shape=conv.kernel_size,
        strides=conv.stride,
        dilations=conv.dilation,
        group=conv.groups,
        pads=pads,
    )
    return name, [*nodes, node], arrays


def _linear(
    linear: nn.Linear, source: str, name: str
) -> tuple[str, list[onnx.NodeProto], dict[str, np.ndarray]]:
    arrays = {f"{name}_w": _noise(linear.weight.shape[::-1])}
    product = name if linear.bias is None else f"{name}_m"
    nodes = [helper.make_node("MatMul", [source, f"{name}_w"], [product])]
    if linear.bias is not None:
        arrays[f"{name}_b"] = _noise(linear.bias.shape)
        nodes.append(helper.make_node("Add", [product, f"{name}_b"], [name]))
    return name, nodes, arrays


def _pads(conv: nn.Conv2d) -> list[int]:
    """Top, left, bottom, right."""
    if conv.padding == "valid":
        return [0, 0, 0, 0]
    if conv.padding == "same":
        pairs = zip(conv.dilation, conv.kernel_size, strict=True)
        whole = [dilation * (kernel - 1) for dilation, kernel in pairs]
        before = [total // 2 for total in whole]
        return [*before, *(total - first for total, first in zip(whole, before, strict=True))]
    return [*conv.padding, *conv.padding]


def _noise(shape: torch.Size) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(tuple(shape), dtype=np.float32) / 16
