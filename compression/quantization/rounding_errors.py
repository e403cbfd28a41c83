"""What loses in eight bits: the weights, the activations, the seventh bit, or single layers."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from compression.context import Context
from compression.errors import CompressionError
from compression.onnx import onnx_session, run_session
from compression.quantization.divergent_layers import only_layer
from compression.quantization.fitted_weights import QUANTIZED
from compression.quantization.graph_divergence import GraphDivergence
from compression.quantization.plan import QuantizePlan
from compression.quantization.quantization import planned_graph
from compression.quantization.quantize import Quantize, rounded_weights


@dataclass(frozen=True, kw_only=True)
class RoundingError:
    """A network in which some numbers are rounded, against the floating one.

    Attributes:
        what: is rounded.
        f1: macro-F1.
        kl: mean Kullback-Leibler divergence from the floating network's probabilities, in nats.
        agreement: fraction of the images that get the class which the floating network gives them.
        training_kl: that divergence on training images which were not calibrated on.
    """

    what: str
    f1: float
    kl: float
    agreement: float
    training_kl: float


def rounding_errors(
    step: Quantize, network: nn.Module, context: Context, *, by_layer: bool = True
) -> Iterator[RoundingError]:
    """What rounding costs on the validation images: nothing, all, parts, then each layer alone.

    A layer alone has its weight, its inputs and its outputs rounded; no gate, sum or mean is.

    Args:
        step: how all would be rounded.
        network: stays as it is.
        context: has training batches, and `val_batches` with labels.
        by_layer: whether layers are looked at one by one.

    Raises:
        CompressionError: there are no validation images, or as `Quantize.plan`.
    """
    if context.val_batches is None:
        raise CompressionError(f"{step.name} is looked at on validation images: there are none.")
    plan, model, seen = step.calibrated(network, context)
    divergence = GraphDivergence(model, step.unseen_images(context, seen))
    batches = list(context.val_batches())
    images = torch.cat([images for images, _ in batches]).cpu().numpy()
    labels = torch.cat([labels for _, labels in batches]).cpu()
    float_logits = _logits(model.SerializeToString(), images)

    def found(what: str, content: bytes) -> RoundingError:
        error = _error(what, _logits(content, images), float_logits, labels)
        return RoundingError(**error, training_kl=divergence(content))

    def file(changes: Callable[[QuantizePlan], None] = lambda plan: None) -> bytes:
        tried = copy.deepcopy(plan)
        changes(tried)
        rounded = rounded_weights(model, tried, tried["bits"], network, context)
        return planned_graph(copy.deepcopy(model), tried, rounded)

    yield found("nothing", model.SerializeToString())
    whole = file()
    yield found("all, as the step does it", whole)
    if plan.get("activations") != "float":
        wide, narrow = file(_widths(8)), file(_widths(7))
        yield found("activations alone", floating_weights(whole, model))
        yield found("weights alone, as the step does it", floating_activations(whole, model))
        yield found("weights alone, 8 bits", floating_activations(wide, model))
        yield found("weights alone, 7 bits", floating_activations(narrow, model))
        yield found("all, weights of 8 bits", wide)
        yield found("all, weights of 7 bits", narrow)
    if by_layer:
        for layer in plan["bits"]:
            rounded = rounded_weights(model, plan, {layer: plan["bits"][layer]}, network, context)
            alone = only_layer(plan, model, layer)
            yield found(layer, planned_graph(copy.deepcopy(model), alone, rounded))


def floating_weights(content: bytes, model: onnx.ModelProto) -> bytes:
    """An int8 file with the weights and biases of the float graph that it was made of."""
    graph = onnx.load_from_string(content)
    constant = {tensor.name for tensor in graph.graph.initializer}
    original = {tensor.name: tensor for tensor in model.graph.initializer}
    rounded, kept = {}, []
    for node in graph.graph.node:
        name = node.input[0].removesuffix(QUANTIZED) if node.input else ""
        if node.op_type == "DequantizeLinear" and node.input[0] in constant and name in original:
            rounded[node.output[0]] = name
        else:
            kept.append(node)
    for node in kept:
        for place, name in enumerate(node.input):
            node.input[place] = rounded.get(name, name)
    del graph.graph.node[:]
    graph.graph.node.extend(kept)
    used = {*rounded.values()} - constant
    graph.graph.initializer.extend(original[name] for name in sorted(used))
    return graph.SerializeToString()


def floating_activations(content: bytes, model: onnx.ModelProto) -> bytes:
    """The float graph with the weights and biases that an int8 file made of it has."""
    changed = copy.deepcopy(model)
    rounded = {tensor.name: tensor for tensor in onnx.load_from_string(content).graph.initializer}
    axes = {
        node.input[0]: next((a.i for a in node.attribute if a.name == "axis"), 1)
        for node in onnx.load_from_string(content).graph.node
        if node.op_type == "DequantizeLinear"
    }
    for tensor in changed.graph.initializer:
        levels = rounded.get(tensor.name + QUANTIZED)
        if levels is None:
            continue
        value = numpy_helper.to_array(levels).astype(np.float32)
        of_bias = f"{levels.name}_scale"  # as onnxruntime's quantiser names it
        scale = numpy_helper.to_array(
            rounded[of_bias if of_bias in rounded else f"{tensor.name}_scale"]
        )
        if scale.size > 1:
            shape = [1] * value.ndim
            shape[axes[levels.name]] = -1
            scale = scale.reshape(shape)
        value = (value * scale).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    return changed.SerializeToString()


def _widths(bits: int) -> Callable[[QuantizePlan], None]:
    def change(plan: QuantizePlan) -> None:
        plan["bits"] = dict.fromkeys(plan["bits"], bits)

    return change


def _logits(content: bytes, images: np.ndarray) -> Tensor:
    return torch.from_numpy(run_session(onnx_session(content), images))


def _error(what: str, logits: Tensor, expected: Tensor, labels: Tensor) -> dict[str, Any]:
    # Loads much that steps do not need.
    from torchmetrics.functional.classification import multiclass_f1_score

    before, after = expected.log_softmax(1), logits.log_softmax(1)
    return {
        "what": what,
        "f1": float(multiclass_f1_score(logits, labels, logits.shape[1], average="macro")),
        "kl": float((before.exp() * (before - after)).sum(1).mean()),
        "agreement": float((logits.argmax(1) == expected.argmax(1)).double().mean()),
    }
