"""Static int8 quantisation after training, by onnxruntime (Jacob et al. 2018, arXiv:1712.05877)."""

import copy
from collections.abc import Sequence

import numpy as np
import onnx
from torch import nn

from compression.errors import CompressionError
from compression.quantization.calibration import activation_ranges, calibration_images
from compression.quantization.graph import (
    excluded_layers,
    float_graph,
    int8_graph,
    layer_nodes,
    nodes_of,
)
from compression.quantization.int8_network import Int8Network
from compression.quantization.layer_sensitivity import (
    quantization_sensitivity,
    select_float_layers,
)
from compression.quantization.settings import SENSITIVE, check_settings
from compression.sensitivity import evaluation, scan_key
from compression.step import Context, Plan, Step


class Quantize(Step):
    """The last step: unsigned 8-bit activations, signed 8-bit weights with a scale a channel.

    Args:
        method: how the ranges of activations are found: `percentile` or `minmax`.
        percentile: of the values of an activation that its range covers, in 50..100.
        images: training images to calibrate on, at least 16.
        exclude: name patterns of layers that stay floating; `sensitive` among them, or in their
            place: also as many as it takes to stay within `max_f1_drop`, those first that change
            the logits most when they alone are in eight bits.
        reduce_range: 7-bit weights. With 8 bits, sums overflow on x86 processors without VNNI.
        max_f1_drop: the most macro-F1 that may be lost, or None; for who runs the step to check.

    Raises:
        CompressionError: impossible settings.
    """

    name = "quantize"
    last = True

    def __init__(
        self,
        *,
        method: str = "percentile",
        percentile: float = 99.99,
        images: int = 256,
        exclude: str | Sequence[str] = (),
        reduce_range: bool = True,
        max_f1_drop: float | None = 0.02,
    ) -> None:
        self.method, self.percentile, self.images = method, percentile, images
        self.exclude = [exclude] if isinstance(exclude, str) else list(exclude)
        self.reduce_range = reduce_range
        self.max_f1_drop = max_f1_drop
        check_settings(self.name, vars(self))

    def plan(self, network: nn.Module, context: Context, round: int) -> Plan:
        """The range of each activation, the nodes that stay floating, and how both were found.

        Raises:
            CompressionError: too few training images, or a pattern that matches no layer.
        """
        return self._calibrated(network, context)[0]

    def _calibrated(
        self, network: nn.Module, context: Context
    ) -> tuple[Plan, onnx.ModelProto, np.ndarray]:
        """The plan, the float graph it speaks of and the images it was made with."""
        if context.train_batches is None:
            raise CompressionError(f"{self.name} needs training images to calibrate on.")
        images = calibration_images(context.train_batches(), self.images)
        model = float_graph(network, context.image_size)
        patterns = [pattern for pattern in self.exclude if pattern != SENSITIVE]
        floating = excluded_layers(model, patterns)
        ranges = activation_ranges(model, images, method=self.method, percentile=self.percentile)
        plan = {
            "image_size": list(context.image_size),
            "ranges": ranges,
            "floating": floating,
            "excluded": nodes_of(model, floating),
            "layers": sorted(layer_nodes(model)),
            "reduce_range": self.reduce_range,
            "method": self.method,
            "percentile": self.percentile,
            "images": len(images),
        }
        if SENSITIVE in self.exclude:
            plan |= self._sensitive(network, context, model, images, plan)
        return plan, model, images

    def _sensitive(
        self,
        network: nn.Module,
        context: Context,
        model: onnx.ModelProto,
        images: np.ndarray,
        plan: Plan,
    ) -> Plan:
        """The layers left floating, with those that the scan found, and what it measured."""
        macro_f1 = evaluation(context)
        folder = context.scans and context.scans / scan_key(self, network, context)
        harm = quantization_sensitivity(model, plan, images, folder)
        given = plan["floating"]
        free = {layer: value for layer, value in harm.items() if layer not in given}

        def quantised(kept: list[str]) -> float:
            tried = {**plan, "excluded": nodes_of(model, [*given, *kept])}
            return macro_f1(Int8Network(network, planned_graph(copy.deepcopy(model), tried)))

        before = macro_f1(network)
        kept, f1 = select_float_layers(free, quantised, before - (self.max_f1_drop or 0))
        scan = {"harm": harm, "f1": [before, *f1], "kept": kept}
        floating = sorted([*given, *kept])
        return {"floating": floating, "excluded": nodes_of(model, floating), "sensitive": scan}

    @staticmethod
    def restructure(network: nn.Module, plan: Plan) -> nn.Module:
        """The eval-only network without its file, which is loaded into it."""
        return Int8Network(network)

    def apply(self, network: nn.Module, plan: Plan) -> nn.Module:
        """The eval-only network; `network` stays as it is."""
        return Int8Network(network, planned_graph(float_graph(network, plan["image_size"]), plan))

    @staticmethod
    def describe(plan: Plan) -> list[str]:
        """How many layers are 8-bit and how the ranges were found; what the scan has found."""
        layers, floating = len(plan["layers"]), len(plan["excluded"])
        how = "min-max" if plan["method"] == "minmax" else f"percentile {plan['percentile']:g}"
        rest = f", {floating} left floating" if floating else ""
        lines = [f"{layers - floating} layers in int8 ({how}, {plan['images']} images){rest}"]
        if scan := plan.get("sensitive"):
            before, *found = scan["f1"]
            kept = f": {', '.join(scan['kept'])}" if scan["kept"] else ""
            lines.append(
                f"sensitive: {len(scan['kept'])} of them{kept}; macro-F1 {before:.4f} before, "
                f"{found[0]:.4f} all in int8, {found[len(scan['kept'])]:.4f} so"
            )
        return lines

    @staticmethod
    def describe_layers(plan: Plan) -> dict[str, str]:
        """int8 or floating, and what the scan measured; of an older plan nothing is known."""
        scan = plan.get("sensitive", {"harm": {}, "kept": []})
        told: dict[str, str] = {}
        if "floating" not in plan:
            return told
        for layer in plan["layers"]:
            what = "left floating" if layer in plan["floating"] else "int8"
            why = " as too sensitive" if layer in scan["kept"] else ""
            harm = scan["harm"].get(layer)
            alone = "" if harm is None else f" (alone changes logits by {harm:.3g}, squared)"
            told[layer] = f"{what}{why}{alone}"
        return told


def planned_graph(model: onnx.ModelProto, plan: Plan) -> bytes:
    """The int8 file that a plan makes of a float graph, which is changed."""
    exclude, reduce_range = plan["excluded"], plan["reduce_range"]
    return int8_graph(model, plan["ranges"], exclude=exclude, reduce_range=reduce_range)
