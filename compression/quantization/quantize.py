"""Static int8 quantisation after training, by onnxruntime (Jacob et al. 2018, arXiv:1712.05877)."""

from torch import nn

from compression.quantization.graph import float_graph
from compression.quantization.int8_network import Int8Network
from compression.quantization.plan import QuantizePlan, planned_images
from compression.quantization.quantization import Quantization, planned_graph, quantized_lines
from compression.step import Context


class Quantize(Quantization[QuantizePlan]):
    """The last step: unsigned 8-bit activations, signed 8-bit weights with a scale a channel.

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

    def apply(
        self, network: nn.Module, plan: QuantizePlan, context: Context | None = None
    ) -> nn.Module:
        """The eval-only network; `network` stays as it is."""
        graph = float_graph(network, plan["image_size"], planned_images(plan))
        return Int8Network(network, planned_graph(graph, plan))

    describe = staticmethod(quantized_lines)
