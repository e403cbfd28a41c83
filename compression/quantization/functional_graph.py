"""The operations of a network as a graph in which nothing is written into anything.

A layer whose result goes into a slice or a view of another tensor is in such a graph like any
other one: `x[:, :h] = l(x[:, :h])` becomes a new `x` made of the old one and what `l` gives. So it
gets a gradient, and places where it can be rounded.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, fx, nn
from torch._subclasses import FakeTensor
from torch.nn.modules.batchnorm import _BatchNorm

from compression.errors import CompressionError
from compression.network_copy import copy_network
from compression.onnx import TracingError, suppress_output, trace
from compression.onnx.exportable_functions import attend
from compression.outputs import main_output
from compression.schema import height_width

aten = torch.ops.aten
# Operations that training changes, and which argument says so.
MODES = {
    aten.batch_norm.default: 5,
    aten.dropout.default: 2,
    aten.alpha_dropout.default: 2,
    aten.feature_dropout.default: 2,
    aten.feature_alpha_dropout.default: 2,
}
_IN_PLACE = {
    getattr(aten, f"{operation._overloadpacket.__name__}_").default: operation
    for operation in MODES
    if operation is not aten.batch_norm.default
}


def _opaque_operations() -> dict[torch._ops.OpOverload, torch._ops.OpOverload]:
    """For each of `MODES` an operation of the same arguments that nothing takes apart."""
    found = {}
    for operation in MODES:
        name = operation._overloadpacket.__name__
        _LIBRARY.define(str(operation._schema).removeprefix("aten::"))
        _LIBRARY.impl(name, lambda images, *_: torch.empty_like(images), "Meta")
        found[operation] = getattr(torch.ops.model_diet, name).default
    return found


def _copied(written: Tensor, value: Tensor, non_blocking: bool = False) -> Tensor:
    """What `written` holds after `value` was copied into it; aten's own has no gradient."""
    return value.to(written.dtype).expand(written.shape)


def _linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A product, then a sum; one operation stays what ONNX has as one."""
    if bias is None or inputs.ndim == 2:
        return NotImplemented
    return aten.linear.default(inputs, weight) + bias


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Both factors are scaled, as PyTorch and ONNX do it, not their product."""
    if enable_gqa:
        return NotImplemented
    factor = math.sqrt(scale or 1 / math.sqrt(query.shape[-1]))
    scores = (query * factor) @ (key.transpose(-2, -1) * factor)
    return attend(scores, value, attn_mask, dropout_p, is_causal)


SPELLED_OUT = {
    aten.copy.default: _copied,
    aten.linear.default: _linear,
    aten.scaled_dot_product_attention.default: _attention,
}
_LIBRARY = torch.library.Library("model_diet", "FRAGMENT")
OPAQUE = _opaque_operations()


def functional_graph(
    network: nn.Module, image_size: Sequence[int], channels: int = 3
) -> fx.GraphModule:
    """The operations of `network` in evaluation on floating images N x C x H x W, any N -> logits.

    Convolutions, linear layers, BatchNorm, dropout and all that PyTorch counts as one operation
    stay one, but for those of which ONNX makes several: what lies between is rounded. Parameters
    and buffers are copies and keep their names; no buffer is written.

    Raises:
        CompressionError: the network cannot be traced.
    """
    images = torch.zeros(2, channels, *height_width(image_size))
    try:
        with torch.enable_grad():
            traced = trace(_twin(network), images)
        if traced.batch is not None:
            raise TracingError(traced.reason)
        _hide_modes(traced.program.graph)
        with suppress_output(stdout=True, errors=True):
            program = traced.program.run_decompositions(dict(SPELLED_OUT))
    except (TracingError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise CompressionError(
            f"This network cannot be traced for quantize_aware: {reason}."
        ) from error
    graph = program.module(check_guards=False)  # a batch of one image is welcome
    _require_values(graph, network)
    exchange(graph, {opaque: operation for operation, opaque in OPAQUE.items()})
    _write_no_buffer(graph.graph)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def exchange(
    graph: fx.GraphModule,
    operations: dict[torch._ops.OpOverload, torch._ops.OpOverload],
) -> None:
    """Other operations for some, with the same arguments."""
    for node in graph.graph.nodes:
        if node.op == "call_function":
            node.target = operations.get(node.target, node.target)
    graph.recompile()


def _twin(network: nn.Module) -> nn.Module:
    """A copy on the CPU in float32 that gives the logits only."""
    twin = copy_network(network).float().to("cpu").to(memory_format=torch.contiguous_format).eval()
    for module in twin.modules():
        if isinstance(module, _BatchNorm) and module.momentum is None:
            module.momentum = 0.1  # a graph counts no batches, over which it would be an average
    forward = twin.forward

    def logits(images: Tensor) -> Tensor:
        return main_output(forward(images))

    twin.forward = logits
    return twin


def _require_values(graph: fx.GraphModule, network: nn.Module) -> None:
    """Refuses a graph that lost the values of a tensor."""
    read = [node for node in graph.graph.nodes if node.op == "get_attr" and node.users]
    targets = {str(node.target) for node in read}
    lost = [t.shape for name in targets if isinstance(t := getattr(graph, name, None), FakeTensor)]
    if lost:
        likely = [n for n, p in network.named_parameters() if n not in targets and p.shape in lost]
        raise CompressionError(
            "This network cannot be traced for quantize_aware: its forward takes the values of "
            f"{' or '.join(likely) or 'a tensor'} past the tracer, as .data does; use the "
            "parameter itself."
        )


def _hide_modes(graph: fx.Graph) -> None:
    """Opaque twins of operations that would be taken apart, but those that always train."""
    for node in list(graph.nodes):
        operation = _IN_PLACE.get(node.target, node.target)
        if operation not in MODES or node.args[MODES[operation]]:
            continue
        if node.target in _IN_PLACE:
            with graph.inserting_before(node):
                dropped = graph.call_function(operation, node.args)
            dropped.meta = dict(node.meta)
            node.target, node.args = aten.copy_.default, (node.args[0], dropped)
            node = dropped
        node.target = OPAQUE[operation]


def _write_no_buffer(graph: fx.Graph) -> None:
    for node in list(graph.nodes):
        if node.target == aten.copy_.default:
            node.replace_all_uses_with(node.args[1])
            graph.erase_node(node)
