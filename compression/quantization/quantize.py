"""Static int8 quantisation after training, by onnxruntime (Jacob et al. 2018, arXiv:1712.05877)."""

import numpy as np
import onnx
from torch import nn

from compression.context import Context
from compression.quantization.calibration import calibration_images
from compression.quantization.divergent_layers import leave_divergent
from compression.quantization.fitted_weights import Rounded, input_moments, round_weights
from compression.quantization.float_first import leave_first
from compression.quantization.graph import float_graph
from compression.quantization.int8_network import Int8Network
from compression.quantization.layer_weights import layer_weights
from compression.quantization.mixed_widths import mixed_widths
from compression.quantization.plan import QuantizePlan, planned_images
from compression.quantization.quantization import Quantization, planned_graph, quantized_lines
from compression.quantization.settings import MIN_IMAGES, QuantizeSettings


class Quantize(QuantizeSettings, Quantization[QuantizePlan]):
    """The last step: unsigned 8-bit activations, signed weights of 7 or 8 bits, a scale a channel.

    Or weights of 8 or 4 bits with floating activations, for the size of the file. Weights are
    rounded by what it does to the outputs of their layers on training images, where the context
    has the moments of what layers are given.

    `QuantizeSettings` says what its settings mean.

    Raises:
        CompressionError: impossible settings.
    """

    def plan(self, network: nn.Module, context: Context, round: int) -> QuantizePlan:
        """The range of each activation, the nodes that stay floating, and how both were found.

        Raises:
            CompressionError: too few training images, or a pattern that matches no layer.
        """
        return self.calibrated(network, context)[0]

    def plan_weights(
        self,
        plan: QuantizePlan,
        network: nn.Module,
        context: Context,
        model: onnx.ModelProto,
        images: np.ndarray,
    ) -> Rounded:
        """The bits of each weight, and whether it is rounded by what the images say."""
        fits = context.moments is not None
        plan["second_order"] = self.rounding == "second_order" or (self.rounding == "auto" and fits)
        plan["bias_correction"] = self.bias_correction is True or (
            self.bias_correction == "auto" and fits
        )
        own = [w for w in layer_weights(model) if w.layer not in plan["floating"]]
        if self.activations == "float" or self.weight_bits == 4:
            plan["activations"] = "float"
            plan["bits"] = {weight.layer: self.weight_bits for weight in own}
        else:
            # Depthwise convolutions are no matrix products: their sums have 32 bits everywhere.
            plan["bits"] = {
                weight.layer: 7 if self.reduce_range and not weight.depthwise else 8
                for weight in own
            }
            plan["float_output"] = True
        rounded = rounded_weights(model, plan, plan["bits"], network, context)
        if self.weight_bits == 4 and self.min_agreement is not None:
            wide = {weight.layer: 8 for weight in own}
            rounded = mixed_widths(
                plan,
                model,
                images,
                narrow=rounded,
                wide=rounded_weights(model, plan, wide, network, context),
                min_agreement=self.min_agreement,
            )
        if "activations" not in plan:
            unseen = self.unseen_images(context, images)
            leave_first(plan, model, unseen, rounded, self.float_first)
            if self.max_kl is not None:
                leave_divergent(plan, model, unseen, rounded, self.max_kl)
        return rounded

    def unseen_images(self, context: Context, images: np.ndarray) -> np.ndarray:
        """Training images behind those that were calibrated on; too few of them: those."""
        assert context.train_batches is not None  # `images` come from there
        unseen = calibration_images(context.train_batches(), 2 * len(images))[len(images) :]
        return unseen if len(unseen) >= MIN_IMAGES else images

    def apply(
        self, network: nn.Module, plan: QuantizePlan, context: Context | None = None
    ) -> nn.Module:
        """The eval-only network; `network` stays as it is.

        Without a context that has the moments of layers, weights go to the nearest level.
        """
        graph = float_graph(network, plan["image_size"], planned_images(plan))
        rounded = None
        if "bits" in plan:
            rounded = rounded_weights(graph, plan, plan["bits"], network, context)
        return Int8Network(network, planned_graph(graph, plan, rounded))

    describe = staticmethod(quantized_lines)


def rounded_weights(
    model: onnx.ModelProto,
    plan: QuantizePlan,
    bits: dict[str, int],
    network: nn.Module,
    context: Context | None,
) -> Rounded:
    """The weights that `bits` names, rounded as a plan says, with what a context has of moments."""
    second_order, bias_correction = plan["second_order"], plan["bias_correction"]
    asked = context is not None and (second_order or bias_correction)
    return round_weights(
        model,
        bits,
        input_moments(network, context.moments, bits) if context is not None and asked else {},
        second_order=second_order,
        bias_correction=bias_correction,
    )
