"""What a quantisation decided, as plain data."""

from typing import NotRequired, TypedDict

import torch

from compression.images import RAW_PIXELS, ImageKind


class SensitiveScan(TypedDict):
    """What was measured to find the layers that lose too much in eight bits.

    Attributes:
        harm: mean squared change of the logits where just this layer is in eight bits, by layer.
        f1: macro-F1 before, then with 0, 1, ... layers left floating.
        kept: the layers left floating for it.
    """

    harm: dict[str, float]
    f1: list[float]
    kept: list[str]


class DivergentScan(TypedDict):
    """What was measured to find the layers that stay floating for `max_kl`.

    Divergences are of Kullback and Leibler, from the floating network's probabilities, in nats.

    Attributes:
        alone: where of all layers just this one is in eight bits, by layer.
        kl: before, and with the layers that are kept.
        kept: the layers left floating for it.
    """

    alone: dict[str, float]
    kl: list[float]
    kept: list[str]


class FloatFirst(TypedDict):
    """First layers left floating, and what the rest does in eight bits.

    Attributes:
        layers: how many.
        gates: whether products and sigmoids stay floating, too.
        kl: mean Kullback-Leibler divergence from the floating network's probabilities, in nats.
    """

    layers: int
    gates: bool
    kl: float


class ImagePlan(TypedDict):
    """The images that the network takes, N x C x H x W.

    Attributes:
        channels: C.
        dtype: as `float32`.
    """

    channels: int
    dtype: str


class QuantizePlan(TypedDict):
    """The plan of `Quantize`, version 1.

    Attributes:
        image_size: [height, width] in pixels.
        input: what the images are; not there where they are raw pixels, uint8 N x 3 x H x W.
        ranges: lowest and highest value of each activation of the ONNX graph.
        floating: the layers that stay floating; plans of earlier versions may lack it.
        excluded: the nodes of the ONNX graph that these are.
        layers: all layers with weights.
        reduce_range: whether weights have 7 bits, but those of layers that `bits` names.
        method: `percentile` or `minmax`: how ranges were found.
        percentile: of an activation's values that its range covers, in 50..100.
        images: how many were calibrated on.
        sensitive: the scan that some floating layers were found by, where there was one.
        bits: of the weight of each layer that is rounded here; in plans of earlier versions, and of
            `QuantizeAware`, all is left to onnxruntime's quantiser.
        activations: `float` where no activation is rounded; else it is not there.
        second_order: whether weights are rounded by what it does to outputs.
        bias_correction: whether biases take off what that changes the means of outputs by.
        agreement: on the images that were calibrated on, with 0, ... layers in 8 bits in the place
            of 4; not there where none was to be tried.
        float_output: whether the logits are not rounded.
        first: what was tried of first layers and gates left floating, the one that was taken last.
        divergent: the scan that more floating layers were found by, where there was one.
    """

    image_size: list[int]
    input: NotRequired[ImagePlan]
    ranges: dict[str, list[float]]
    floating: NotRequired[list[str]]
    excluded: list[str]
    layers: list[str]
    reduce_range: bool
    method: str
    percentile: float
    images: int
    sensitive: NotRequired[SensitiveScan]
    bits: NotRequired[dict[str, int]]
    activations: NotRequired[str]
    second_order: NotRequired[bool]
    bias_correction: NotRequired[bool]
    agreement: NotRequired[dict[str, float]]
    float_output: NotRequired[bool]
    first: NotRequired[list[FloatFirst]]
    divergent: NotRequired[DivergentScan]


def image_plan(images: ImageKind) -> ImagePlan | None:
    """What a plan says of the kind of images; None of raw pixels."""
    if images == RAW_PIXELS:
        return None
    return {"channels": images.channels, "dtype": str(images.dtype).removeprefix("torch.")}


def planned_images(plan: QuantizePlan) -> ImageKind:
    """The kind of images that a plan was made for; floating ones are taken to be in 0..1."""
    if "input" not in plan:
        return RAW_PIXELS
    dtype: torch.dtype = getattr(torch, plan["input"]["dtype"])
    channels = plan["input"]["channels"]
    if dtype == torch.uint8:
        return ImageKind(channels=channels)
    return ImageKind(channels=channels, dtype=dtype, high=1.0)


class QuantizeAwarePlan(QuantizePlan):
    """The plan of `QuantizeAware`, version 1.

    Attributes:
        places: activation of the ONNX graph -> node of the training graph that gives it.
        constants: node of the training graph that gives a tensor with one scale -> `uint8` or
            `int8`, as which it is rounded; plans of earlier versions lack it and the next two.
        shared: node of the training graph -> the one in whose scale its values are rounded again.
        fixed: activations whose ranges do not follow the training.
        rounded: how many activations the int8 file rounds.
        averaging: ratio of each training batch in the ranges.
    """

    places: dict[str, str]
    constants: NotRequired[dict[str, str]]
    shared: NotRequired[dict[str, str]]
    fixed: NotRequired[list[str]]
    rounded: int
    averaging: float
