"""Which weights have eight bits where the others have four: those that lose the most a byte."""

import copy

import numpy as np
import onnx

from compression.onnx import onnx_session, run_session
from compression.quantization.fitted_weights import Rounded, place_on_grid
from compression.quantization.plan import QuantizePlan

IMAGES = 64  # on which each layer is looked at alone


def mixed_widths(
    plan: QuantizePlan,
    model: onnx.ModelProto,
    images: np.ndarray,
    *,
    narrow: Rounded,
    wide: Rounded,
    min_agreement: float,
) -> Rounded:
    """The weights with as few layers in 8 bits as it takes; what was decided goes into the plan.

    Args:
        plan: has `bits`, which change, and gets `agreement`.
        model: of `float_graph`; stays as it is.
        images: N x C x H x W.
        narrow: all weights in 4 bits.
        wide: the same in 8.
        min_agreement: fraction of the images that get the class which the model gives them.
    """
    expected = _logits(model, [], images)
    harm = [
        float(np.square(_logits(model, [pair], images[:IMAGES]) - expected[:IMAGES]).mean())
        / pair[0].value.size
        for pair in narrow
    ]
    order = sorted(range(len(narrow)), key=lambda number: -harm[number])

    def mixed(count: int) -> Rounded:
        chosen = set(order[:count])
        pairs = enumerate(zip(narrow, wide, strict=True))
        return [large if number in chosen else small for number, (small, large) in pairs]

    def agreement(count: int) -> float:
        found = _logits(model, mixed(count), images)
        return float((found.argmax(1) == expected.argmax(1)).mean())

    tried = {0: agreement(0)}
    count = 0
    if tried[0] < min_agreement:
        low, count = 0, len(order)
        while count - low > 1:
            middle = (low + count) // 2
            tried[middle] = agreement(middle)
            low, count = (low, middle) if tried[middle] >= min_agreement else (middle, count)
        if count not in tried:
            tried[count] = agreement(count)
    plan["bits"] = plan["bits"] | {narrow[number][0].layer: 8 for number in order[:count]}
    plan["agreement"] = {"0": tried[0], str(count): tried[count]}
    return mixed(count)


def _logits(model: onnx.ModelProto, rounded: Rounded, images: np.ndarray) -> np.ndarray:
    """Of the model with these weights on their levels."""
    changed = copy.deepcopy(model)
    place_on_grid(changed, rounded)
    return run_session(onnx_session(changed.SerializeToString()), images)
