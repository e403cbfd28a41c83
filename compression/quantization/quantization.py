"""What quantisation after training and training aware of it share: the calibration."""

import copy
from typing import TypeVar

import numpy as np
import onnx
import torch
from torch import nn

from compression.errors import CompressionError
from compression.images import ImageKind
from compression.onnx import try_export
from compression.quantization.calibration import activation_ranges, calibration_images
from compression.quantization.graph import (
    excluded_layers,
    float_graph,
    int8_graph,
    layer_nodes,
    nodes_of,
    unquantizable_layers,
)
from compression.quantization.int8_network import Int8Network
from compression.quantization.layer_sensitivity import (
    quantization_sensitivity,
    select_float_layers,
)
from compression.quantization.plan import QuantizePlan, SensitiveScan, image_plan
from compression.quantization.settings import SENSITIVE, QuantizeSettings
from compression.sensitivity import evaluation, scan_key
from compression.step import Context, Step

Q = TypeVar("Q", bound=QuantizePlan)


class Quantization(QuantizeSettings, Step[Q]):
    """The base of `Quantize` and `QuantizeAware`."""

    def calibrated(
        self, network: nn.Module, context: Context
    ) -> tuple[QuantizePlan, onnx.ModelProto, np.ndarray]:
        """The plan, the float graph it speaks of and the images it was made with.

        Raises:
            CompressionError: too few training images, or a pattern that matches no layer.
        """
        if context.train_batches is None:
            raise CompressionError(f"{self.name} needs training images to calibrate on.")
        images = calibration_images(context.train_batches(), self.images)
        kind = ImageKind.of(torch.from_numpy(images))
        model = float_graph(network, context.image_size, kind)
        patterns = [pattern for pattern in self.exclude if pattern != SENSITIVE]
        floating = sorted({*excluded_layers(model, patterns), *unquantizable_layers(model)})
        ranges = activation_ranges(model, images, method=self.method, percentile=self.percentile)
        plan: QuantizePlan = {
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
        if (told := image_plan(kind)) is not None:
            plan["input"] = told
        if SENSITIVE in self.exclude:
            self._find_sensitive(plan, network, context, model, images)
        return plan, model, images

    def structural_plan(self, network: nn.Module, context: Context, round: int) -> None:
        """Nothing follows; but ONNX must have all operations, and the graph the excluded layers.

        Raises:
            CompressionError: the network cannot be exported, or a pattern matches no layer.
        """
        if context.with_values is not None:
            self._check_before_training(context.with_values(), context)

    def _check_before_training(self, network: nn.Module, context: Context) -> None:
        found = try_export(network, context.image_size, images=context.images)
        if found.batch == "none":
            raise CompressionError(found.reason)
        if patterns := [pattern for pattern in self.exclude if pattern != SENSITIVE]:
            excluded_layers(float_graph(network, context.image_size), patterns)

    def _find_sensitive(
        self,
        plan: QuantizePlan,
        network: nn.Module,
        context: Context,
        model: onnx.ModelProto,
        images: np.ndarray,
    ) -> None:
        """Adds the layers that a scan finds to those left floating, and what it measured."""
        macro_f1 = evaluation(context)
        folder = context.scans and context.scans / scan_key(self, network, context)
        harm = quantization_sensitivity(model, plan, images, folder)
        given = plan["floating"]
        free = {layer: value for layer, value in harm.items() if layer not in given}

        def quantised(kept: list[str]) -> float:
            tried: QuantizePlan = {**plan, "excluded": nodes_of(model, [*given, *kept])}
            return macro_f1(Int8Network(network, planned_graph(copy.deepcopy(model), tried)))

        before = macro_f1(network)
        kept, f1 = select_float_layers(free, quantised, before - (self.max_f1_drop or 0))
        plan["floating"] = sorted([*given, *kept])
        plan["excluded"] = nodes_of(model, plan["floating"])
        plan["sensitive"] = {"harm": harm, "f1": [before, *f1], "kept": kept}

    @staticmethod
    def restructure(network: nn.Module, plan: QuantizePlan) -> nn.Module:
        """The eval-only network without its file, which is loaded into it."""
        return Int8Network(network)

    @staticmethod
    def describe_layers(plan: QuantizePlan) -> dict[str, str]:
        """int8 or floating, and what the scan measured; of an older plan nothing is known."""
        nothing: SensitiveScan = {"harm": {}, "f1": [], "kept": []}
        scan = plan.get("sensitive", nothing)
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


def planned_graph(model: onnx.ModelProto, plan: QuantizePlan) -> bytes:
    """The int8 file that a plan makes of a float graph, which is changed."""
    exclude, reduce_range = plan["excluded"], plan["reduce_range"]
    return int8_graph(model, plan["ranges"], exclude=exclude, reduce_range=reduce_range)


def quantized_lines(plan: QuantizePlan) -> list[str]:
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
