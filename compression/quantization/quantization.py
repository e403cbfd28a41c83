"""What quantisation after training and training aware of it share: the calibration."""

import copy
from collections import Counter
from typing import TypeVar

import numpy as np
import onnx
import torch
from torch import nn

from compression.context import Context
from compression.errors import CompressionError
from compression.images import ImageKind
from compression.onnx import try_export
from compression.quantization.calibration import activation_ranges, calibration_images
from compression.quantization.fitted_weights import Rounded, place_on_grid, weight_only_graph
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
from compression.quantization.plan import (
    DivergentScan,
    FloatFirst,
    QuantizePlan,
    SensitiveScan,
    image_plan,
)
from compression.quantization.settings import SENSITIVE, QuantizationSettings
from compression.sensitivity import evaluation, scan_key
from compression.step import Step

Q = TypeVar("Q", bound=QuantizePlan)


class Quantization(QuantizationSettings, Step[Q]):
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
        rounded = self.plan_weights(plan, network, context, model, images)
        if SENSITIVE in self.exclude:
            self._find_sensitive(plan, network, context, model, images, rounded)
        return plan, model, images

    def plan_weights(
        self,
        plan: QuantizePlan,
        network: nn.Module,
        context: Context,
        model: onnx.ModelProto,
        images: np.ndarray,
    ) -> Rounded:
        """Adds to a plan how weights are rounded, and rounds them; here onnxruntime does it."""
        return []

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
        rounded: Rounded,
    ) -> None:
        """Adds the layers that a scan finds to those left floating, and what it measured."""
        macro_f1 = evaluation(context)
        folder = context.scans and context.scans / scan_key(self, network, context)
        harm = quantization_sensitivity(model, plan, images, folder)
        given, excluded = plan["floating"], plan["excluded"]
        free = {layer: value for layer, value in harm.items() if layer not in given}

        def quantised(kept: list[str]) -> float:
            floating = [*given, *kept]
            tried: QuantizePlan = {
                **plan,
                "floating": floating,
                "excluded": sorted({*excluded, *nodes_of(model, floating)}),
            }
            content = planned_graph(copy.deepcopy(model), tried, rounded)
            return macro_f1(Int8Network(network, content))

        before = macro_f1(network)
        kept, f1 = select_float_layers(free, quantised, before - (self.max_f1_drop or 0))
        plan["floating"] = sorted([*given, *kept])
        plan["excluded"] = sorted({*excluded, *nodes_of(model, plan["floating"])})
        plan["sensitive"] = {"harm": harm, "f1": [before, *f1], "kept": kept}

    @staticmethod
    def restructure(network: nn.Module, plan: QuantizePlan) -> nn.Module:
        """The eval-only network without its file, which is loaded into it."""
        return Int8Network(network)

    @staticmethod
    def describe_layers(plan: QuantizePlan) -> dict[str, str]:
        """int8 or floating, and what the scan measured; of an older plan nothing is known."""
        nothing: SensitiveScan = {"harm": {}, "f1": [], "kept": []}
        no_divergence: DivergentScan = {"alone": {}, "kl": [], "kept": []}
        scan = plan.get("sensitive", nothing)
        divergent = plan.get("divergent", no_divergence)
        told: dict[str, str] = {}
        if "floating" not in plan:
            return told
        for layer in plan["layers"]:
            what = "left floating" if layer in plan["floating"] else "int8"
            why = " as too sensitive" if layer in [*scan["kept"], *divergent["kept"]] else ""
            harm, kl = scan["harm"].get(layer), divergent["alone"].get(layer)
            alone = "" if kl is None else f" (alone costs {kl:.3g} nats)"
            if harm is not None:
                alone += f" (alone changes logits by {harm:.3g}, squared)"
            told[layer] = f"{what}{why}{alone}"
        return told


def planned_graph(
    model: onnx.ModelProto, plan: QuantizePlan, rounded: Rounded | None = None
) -> bytes:
    """The file that a plan makes of a float graph, which is changed.

    Args:
        model: of `float_graph`.
        plan: of a quantisation.
        rounded: the weights that are rounded here; all others are left to onnxruntime's quantiser.
    """
    floating = plan.get("floating", [])
    own = [pair for pair in rounded or [] if pair[0].layer not in floating]
    if plan.get("activations") == "float":
        return weight_only_graph(model, own, plan["bits"])
    place_on_grid(model, own)
    return int8_graph(
        model,
        plan["ranges"],
        exclude=plan["excluded"],
        reduce_range=plan["reduce_range"],
        grids={
            weight.tensor: (weight.axis, found.scale.flatten().tolist()) for weight, found in own
        },
        float_output=plan.get("float_output", False),
    )


def quantized_lines(plan: QuantizePlan) -> list[str]:
    """How many layers are 8-bit and how the ranges were found; what the scan has found."""
    layers, floating = len(plan["layers"]), len(plan.get("floating", plan["excluded"]))
    how = "min-max" if plan["method"] == "minmax" else f"percentile {plan['percentile']:g}"
    rest = f", {floating} left floating" if floating else ""
    lines = [f"{layers - floating} layers in int8 ({how}, {plan['images']} images){rest}"]
    if plan.get("activations") == "float":
        lines = [f"{layers - floating} layers with {_widths(plan)}, activations floating{rest}"]
    fitted = {
        "rounded by what it does to outputs": plan.get("second_order"),
        "biases corrected": plan.get("bias_correction"),
    }
    if any(fitted.values()):
        done = ", ".join(what for what, is_done in fitted.items() if is_done)
        lines.append(f"weights: {done}, {plan['images']} images")
    if agreement := plan.get("agreement"):
        found = list(agreement.values())[-1]
        lines.append(
            f"{found:.2%} of these images get the class that the floating network gives them; with "
            f"no weights in 8 bits {agreement['0']:.2%}"
        )
    if first := plan.get("first"):
        lines.append(_first_line(first))
    if divergent := plan.get("divergent"):
        before_kl, after_kl = divergent["kl"]
        lines.append(
            f"{len(divergent['kept'])} more layers left floating, those that change the logits "
            f"most: {after_kl:.3g} nats, {before_kl:.3g} without"
        )
    if scan := plan.get("sensitive"):
        before, *f1 = scan["f1"]
        kept = f": {', '.join(scan['kept'])}" if scan["kept"] else ""
        lines.append(
            f"sensitive: {len(scan['kept'])} of them{kept}; macro-F1 {before:.4f} before, "
            f"{f1[0]:.4f} all in int8, {f1[len(scan['kept'])]:.4f} so"
        )
    return lines


def _widths(plan: QuantizePlan) -> str:
    """How many bits weights have, as `weights of 4 bits, 12 of them of 8`."""
    counts = Counter(plan.get("bits", {}).values())
    few, *more = sorted(counts)
    rest = "".join(f", {counts[bits]} of them of {bits}" for bits in more)
    return f"weights of {few} bits{rest}"


def _first_line(tried: list[FloatFirst]) -> str:
    *others, taken = tried
    parts = [f"the first {taken['layers']} layers"] if taken["layers"] else []
    left = " and ".join(parts + (["the gates"] if taken["gates"] else [])) or "no first layer"
    whole = next((c["kl"] for c in others if not c["layers"] and not c["gates"]), None)
    rest = "" if whole is None else f", {whole:.3g} with all in int8"
    return f"{left} left floating: {taken['kl']:.3g} nats from what the floating network says{rest}"
