"""Quantisation-aware training (Jacob et al. 2018, arXiv:1712.05877, section 3), through torchao."""

import copy

import torch
from torch import nn

from compression.context import Context
from compression.errors import CompressionError
from compression.onnx import suppress_output
from compression.quantization.gradients import trainable_graph
from compression.quantization.graph import float_graph
from compression.quantization.int8_network import Int8Network
from compression.quantization.placement import (
    constant_places,
    fixed_activations,
    places,
    rerounded_activations,
    rounded_activations,
    rounded_constants,
)
from compression.quantization.plan import QuantizeAwarePlan, planned_images
from compression.quantization.quantization import Quantization, planned_graph, quantized_lines
from compression.quantization.settings import QuantizeAwareSettings

COMPARED = 8  # images by whose values activations are found again


class QuantizeAware(QuantizeAwareSettings, Quantization[QuantizeAwarePlan]):
    """The last step: trained with rounded weights and activations, then written as by `Quantize`.

    What is rounded in training is what the int8 file rounds. The ranges of activations begin as
    `Quantize` finds them, and follow the batches of the training.

    `QuantizeAwareSettings` says what its settings mean.

    Raises:
        CompressionError: impossible settings, or torchao is not installed.
    """

    def plan(self, network: nn.Module, context: Context, round: int) -> QuantizeAwarePlan:
        """That of `Quantize`; and which node of the training graph gives each rounded activation.

        Raises:
            CompressionError: as `Quantize`; or the network cannot be traced for training, or has
                parameters that no gradient reaches.
        """
        plan, model, images = self.calibrated(network, context)
        content = planned_graph(copy.deepcopy(model), plan)
        rounded = rounded_activations(content)
        few = images[:COMPARED]
        graph = trainable_graph(network, torch.from_numpy(few))
        shared = rerounded_activations(content)
        fixed = fixed_activations(model, rounded)
        placed = places(graph, model, [*rounded, *shared], few)
        return {
            **plan,
            "ranges": {**plan["ranges"], **{name: [0.0, 1.0] for name in fixed}},
            "places": {name: node for name, node in placed.items() if name not in shared},
            "constants": constant_places(graph, model, rounded_constants(content)),
            "shared": {
                placed[name]: placed[owner]
                for name, owner in shared.items()
                if name in placed and owner in placed
            },
            "fixed": fixed,
            "rounded": len(rounded),
            "averaging": self.averaging,
        }

    def _check_before_training(self, network: nn.Module, context: Context) -> None:
        """That the network can be traced for training, too, and that gradients reach all of it."""
        super()._check_before_training(network, context)
        trainable_graph(network, context.images.random(context.image_size, 2))

    def apply(
        self, network: nn.Module, plan: QuantizeAwarePlan, context: Context | None = None
    ) -> nn.Module:
        """The network to be trained; `network` stays as it is."""
        with suppress_output():  # only here, for torchao takes seconds
            from compression.quantization.fake_quantized import FakeQuantNetwork

        return FakeQuantNetwork(network, plan)

    def finish(self, network: nn.Module) -> nn.Module:
        """The eval-only network of the trained weights and ranges."""
        from compression.quantization.fake_quantized import FakeQuantNetwork

        if not isinstance(network, FakeQuantNetwork):
            raise CompressionError("quantize_aware ends with the network that its apply gave.")
        plan: QuantizeAwarePlan = {**network.plan, "ranges": network.ranges()}
        trained = network.trained()
        graph = float_graph(trained, plan["image_size"], planned_images(plan))
        return Int8Network(trained, planned_graph(graph, plan))

    @staticmethod
    def describe(plan: QuantizeAwarePlan) -> list[str]:
        """As `Quantize`, and how much of it was rounded in training."""
        learnt, rounded = len(plan["places"]), plan["rounded"]
        rest = f"; {rounded - learnt} keep the range of the calibration" if learnt < rounded else ""
        how = f"trained with {learnt} rounded activations{rest}"
        return [*quantized_lines(plan), how]
