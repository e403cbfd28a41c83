"""A network whose weights and activations are rounded to eight bits while it is trained.

Jacob et al. 2018, arXiv:1712.05877, section 3: rounding goes forward, gradients pass straight
through; BatchNorm is folded into the weights that are rounded. torchao does that to a graph.
"""

import copy
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torchao.quantization.pt2e import (
    FakeQuantize,
    FusedMovingAvgObsFakeQuantize,
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
)
from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e
from torchao.quantization.pt2e.quantizer import (
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
)

from compression.quantization.calibration import Ranges
from compression.quantization.functional_graph import OPAQUE, exchange
from compression.quantization.graph import WEIGHT
from compression.quantization.plan import QuantizeAwarePlan, planned_images
from compression.quantization.training_graph import set_training, training_graph, weighted_axis

ANNOTATION = "quantization_annotation"


class FakeQuantNetwork(nn.Module):
    """Trains as the int8 network will answer; attributes it lacks are those of `network`.

    Args:
        network: the float network; stays as it is.
        plan: of `QuantizeAware`.
    """

    def __init__(self, network: nn.Module, plan: QuantizeAwarePlan) -> None:
        super().__init__()
        self.plan = plan
        self._original = (copy.deepcopy(network),)  # a tuple, so that it is no submodule
        names = {node: name for name, node in plan["places"].items()}
        graph = training_graph(network, plan["image_size"], planned_images(plan).channels)
        exchange(graph, OPAQUE)  # or torchao folds BatchNorm once more, with settings of its own
        graph = prepare_qat_pt2e(graph, _Placed(plan, set(names)))
        exchange(graph, {opaque: operation for operation, opaque in OPAQUE.items()})
        _round_again(graph, plan.get("shared", {}))
        self._switched: bool | None = None  # in either mode some ranges are fixed
        self._adopt(graph)
        self._quantisers = {  # activation -> path of the module that rounds it
            names[node.args[0].name]: node.target
            for node in graph.graph.nodes
            if node.op == "call_module" and node.args[0].name in names
        }
        for name, path in self._quantisers.items():
            _begin(self._quantiser(path), *plan["ranges"][name])
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """uint8 (or floating, 0..255) N x 3 x H x W -> logits N x classes."""
        # Lightning sets `training` without calling `train`.
        if self.training != self._switched:
            self._switch(self.training)
        # Rounding is defined on float32, whatever the precision of the training.
        with torch.autocast(images.device.type, enabled=False):
            return self._graph[0](images.float())

    def train(self, mode: bool = True) -> "FakeQuantNetwork":
        """Set the mode; the graph follows at the next forward pass."""
        self.training = mode  # the graph itself has no modes
        return self

    def ranges(self) -> Ranges:
        """Of all activations of the plan: the learnt ones, else those found before."""
        found = dict(self.plan["ranges"])
        for name, path in self._quantisers.items():
            observer = self._quantiser(path).activation_post_process
            found[name] = [float(observer.min_val), float(observer.max_val)]
        return found

    def trained(self) -> nn.Module:
        """The float network with the trained weights and statistics, in eval mode on the CPU."""
        network = copy.deepcopy(self._original[0]).cpu()
        state, learnt = network.state_dict(), self.state_dict()
        state.update({name: learnt[name] for name in state if name in learnt})
        network.load_state_dict(state)
        if hasattr(network, "recipe"):
            network.recipe = self.recipe
        return network.eval()

    def _quantiser(self, path: str) -> Any:
        """A module of torchao, which comes without types."""
        return self.get_submodule(path)

    def _switch(self, mode: bool) -> None:
        """Ranges are learnt in training only; those of weights follow them always."""
        set_training(self._graph[0], mode)
        fixed = self.plan.get("fixed", ())
        for name, path in self._quantisers.items():
            quantiser = self._quantiser(path)
            learns = mode and name not in fixed
            quantiser.enable_observer() if learns else quantiser.disable_observer()
        self._switched = mode

    def _adopt(self, graph: fx.GraphModule) -> None:
        """Have the layers of the graph under the names that they have in the network."""
        self._graph = (graph,)
        self._modules, self._parameters = graph._modules, graph._parameters
        self._buffers = graph._buffers

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self._switched = None  # whether ranges are learnt is among what was loaded

    def __deepcopy__(self, memo: dict[int, Any]) -> "FakeQuantNetwork":
        twin = type(self).__new__(type(self))
        shared = ("_graph", "_modules", "_parameters", "_buffers")
        own = {name: value for name, value in self.__dict__.items() if name not in shared}
        twin.__dict__ = copy.deepcopy(own, memo)
        twin._adopt(copy.deepcopy(self._graph[0], memo))
        return twin

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("_") or "_original" not in self.__dict__:
                raise
            return getattr(self._original[0], name)


class _Placed(Quantizer):
    """Tells torchao where to round: after the nodes given, and the weights of layers.

    The levels and scales are those of onnxruntime's quantiser.
    """

    def __init__(self, plan: QuantizeAwarePlan, nodes: Collection[str]) -> None:
        self.nodes = nodes
        self.kinds = plan.get("constants", {})
        self.floating = {f"{layer}{WEIGHT}" for layer in plan["floating"]}
        self.activation = QuantizationSpec(
            dtype=torch.uint8,
            quant_min=0,
            quant_max=255,
            qscheme=torch.per_tensor_affine,
            observer_or_fake_quant_ctr=FusedMovingAvgObsFakeQuantize.with_args(
                observer=MovingAverageMinMaxObserver, averaging_constant=plan["averaging"]
            ),
        )
        largest = 64 if plan["reduce_range"] else 127
        self.weights = [
            QuantizationSpec(
                dtype=torch.int8,
                quant_min=-largest,
                quant_max=largest,
                qscheme=torch.per_channel_symmetric,
                ch_axis=axis,
                # Not the fused kernel, whose symmetric scale differs by one level from
                # onnxruntime's.
                observer_or_fake_quant_ctr=FakeQuantize.with_args(
                    observer=MovingAveragePerChannelMinMaxObserver, averaging_constant=1.0
                ),
            )
            for axis in (0, 1)
        ]
        as_it_is = FakeQuantize.with_args(
            observer=MovingAverageMinMaxObserver, averaging_constant=1.0
        )
        self.constants = {
            "uint8": replace(
                self.activation,
                quant_max=127 if plan["reduce_range"] else 255,
                observer_or_fake_quant_ctr=as_it_is,
            ),
            "int8": QuantizationSpec(
                dtype=torch.int8,
                quant_min=-largest,
                quant_max=largest,
                qscheme=torch.per_tensor_symmetric,
                observer_or_fake_quant_ctr=as_it_is,
            ),
        }

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        for node in model.graph.nodes:
            specs = {}
            axis = weighted_axis(node)
            if axis is not None and self._rounds(node.args[1]):
                specs = {node.args[0]: None, node.args[1]: self.weights[axis]}
            output = self.activation if node.name in self.nodes else None
            output = self.constants.get(self.kinds.get(node.name, ""), output)
            if specs or output:
                annotation = QuantizationAnnotation(specs, output, _annotated=True)
                node.meta[ANNOTATION] = annotation
        return model

    def validate(self, model: fx.GraphModule) -> None:
        """Nothing to refuse: every operation takes rounded numbers."""

    def _rounds(self, weight: fx.Node) -> bool:
        """Whether it is computed from parameters alone, of a layer that is not left floating."""
        sources, seen = [weight], set()
        while sources:
            node = sources.pop()
            if node.op == "placeholder" or str(node.target) in self.floating:
                return False
            seen.add(node)
            sources += [source for source in node.all_input_nodes if source not in seen]
        return True


def _round_again(graph: fx.GraphModule, shared: Mapping[str, str]) -> None:
    """Round what some nodes give in the scale of others, whose quantisers learn nothing of it."""
    paths = {n.args[0].name: n.target for n in graph.graph.nodes if n.op == "call_module"}
    for node in list(graph.graph.nodes):
        if node.name not in shared:
            continue
        path = paths[shared[node.name]]
        with graph.graph.inserting_after(node):
            scale = graph.graph.get_attr(f"{path}.scale")
        with graph.graph.inserting_after(scale):
            zero = graph.graph.get_attr(f"{path}.zero_point")
        with graph.graph.inserting_after(zero):
            rounded = graph.graph.call_function(
                torch.fake_quantize_per_tensor_affine, (node, scale, zero, 0, 255)
            )
        node.replace_all_uses_with(rounded)
        rounded.update_arg(0, node)
    graph.recompile()


def _begin(quantiser: FusedMovingAvgObsFakeQuantize, low: float, high: float) -> None:
    """Let it round by a range known before."""
    observer = quantiser.activation_post_process
    observer.min_val.fill_(low)
    observer.max_val.fill_(high)
    quantiser.scale, quantiser.zero_point = quantiser.calculate_qparams()
