"""The graph of a network that can be trained, with places for fake quantisers between its nodes."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, fx, nn

from compression.quantization.functional_graph import MODES, functional_graph

aten = torch.ops.aten
# ONNX writes these as products, and their factors are quantised, too.
GATES = {aten.hardswish.default: aten.hardsigmoid.default, aten.silu.default: aten.sigmoid.default}
# Layers with weights: how many axes their windows have. Those that go up have outputs second.
CONVOLUTIONS = {aten.linear: 0, aten.conv1d: 1, aten.conv2d: 2, aten.conv3d: 3}
TRANSPOSED = {aten.conv_transpose1d: 1, aten.conv_transpose2d: 2, aten.conv_transpose3d: 3}
TINY = 1e-8  # a channel that BatchNorm scales by less is as good as gone


def training_graph(
    network: nn.Module, image_size: Sequence[int], channels: int = 3
) -> fx.GraphModule:
    """The operations of `network` on floating images N x C x H x W, 0..255, any N -> logits.

    BatchNorm and dropout are in training mode; all else does what it does in evaluation. A
    convolution before BatchNorm has the weight that it would have if the two were folded. No
    operation writes into anything but BatchNorm, into its statistics. Parameters and buffers are
    copies and keep their names.

    Raises:
        CompressionError: the network cannot be traced.
    """
    graph = functional_graph(network, image_size, channels)
    _open_gates(graph)
    _fold_norms(graph)
    set_training(graph, True)
    return graph


def set_training(graph: fx.GraphModule, mode: bool) -> None:
    """Switch BatchNorm and dropout; all their other settings stay, unlike with torchao's switch."""
    for node in graph.graph.nodes:
        if node.target in MODES:
            node.update_arg(MODES[node.target], mode)
    graph.recompile()


def weighted_axis(node: fx.Node) -> int | None:
    """Which axis of a layer's weight counts its outputs; None: the node is no such layer."""
    kind = getattr(node.target, "overloadpacket", None)
    return 0 if kind in CONVOLUTIONS else 1 if kind in TRANSPOSED else None


class Values(fx.Interpreter):
    """Runs a graph and keeps what each node gives, by the node's name."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph, garbage_collect_values=False)
        self.found: dict[str, Tensor] = {}

    def run_node(self, node: fx.Node) -> object:
        """Run a node and keep its floating result."""
        value = super().run_node(node)
        if node.op == "call_function" and isinstance(value, Tensor) and value.is_floating_point():
            self.found[node.name] = value.detach()
        return value


def _open_gates(graph: fx.GraphModule) -> None:
    """Hard-swish and SiLU as products of their input and a gate."""
    for node in list(graph.graph.nodes):
        if node.target in GATES:
            with graph.graph.inserting_before(node):
                gate = graph.graph.call_function(GATES[node.target], node.args)
                product = graph.graph.call_function(aten.mul.Tensor, (node.args[0], gate))
            gate.meta, product.meta = dict(node.meta), dict(node.meta)
            node.replace_all_uses_with(product)
            graph.graph.erase_node(node)


def _fold_norms(graph: fx.GraphModule) -> None:
    """Convolutions get the weight that BatchNorm's running statistics would make of theirs.

    That is the weight which is rounded in the end. What it does to the output is undone before
    BatchNorm, which goes on with the statistics of the batch (Krishnamoorthi 2018,
    arXiv:1806.08342, section 3.2.2). torchao has this, too, but with fixed eps and momentum.
    """
    for norm in graph.graph.nodes:
        if norm.target != aten.batch_norm.default:
            continue
        conv = norm.args[0]
        axis = weighted_axis(conv) if isinstance(conv, fx.Node) else None
        if not isinstance(conv, fx.Node) or axis is None or not _foldable(conv, axis):
            continue
        new = graph.graph.call_function
        windows = {**CONVOLUTIONS, **TRANSPOSED}[
            cast(torch._ops.OpOverload, conv.target).overloadpacket
        ]
        x, weight, bias, *settings = (*conv.args, None)[: max(3, len(conv.args))]
        _, scale, _, _, variance, _, _, eps, _ = norm.args
        by_output, by_channel = ([1] * (2 + windows) for _ in range(2))
        by_output[axis], by_channel[1] = -1, -1
        with graph.graph.inserting_before(conv):
            factor = new(aten.rsqrt.default, (new(aten.add.Tensor, (variance, eps)),))
            if scale is not None:
                factor = new(aten.mul.Tensor, (scale, factor))
            near_zero = new(aten.lt.Scalar, (new(aten.abs.default, (factor,)), TINY))
            factor = new(aten.where.ScalarSelf, (near_zero, TINY, factor))
            shaped = new(aten.reshape.default, (factor, by_output))
            folded = new(aten.mul.Tensor, (weight, shaped))
        conv.args = (x, folded, None, *settings)
        with graph.graph.inserting_before(norm):
            shaped = new(aten.reshape.default, (factor, by_channel))
            plain = new(aten.div.Tensor, (conv, shaped))
            if bias is not None:
                plain = new(aten.add.Tensor, (plain, new(aten.reshape.default, (bias, by_channel))))
        norm.update_arg(0, plain)


def _foldable(layer: fx.Node, axis: int) -> bool:
    """Whether BatchNorm after a layer, whose outputs that axis counts, ends up folded into it."""
    if len(layer.users) > 1:
        return False
    if layer.target == aten.linear.default:
        return layer.meta["val"].ndim == 2  # of tokens, the second axis counts no outputs
    return axis == 0 or layer.args[6:7] in ((), (1,))  # groups
