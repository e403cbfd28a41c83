"""Means over channels: which of them belong to a norm that a network writes by hand.

A norm over the channels that are left is what pruning a norm means, and in x - x.mean(1) or
x / x.mean(1) the mean comes back to the channels that it was taken of. One that goes anywhere
else, as into the convolution of a spatial attention, would be that of other channels afterwards:
they must stay.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compression.pruning.trace import variables_of
from compression.pruning.tracer import Mean, Tracer

INVERSE = {"rsqrt", "reciprocal"}
# What may happen to a mean or variance on its way.
ARITHMETIC = {"add", "sub", "mul", "div", "rsub", "neg", "abs", "sqrt", "square", "pow", "clamp",
              "clamp_min", "clamp_max", "maximum", "mean", "sum", *INVERSE}  # fmt: skip


def pass_means(
    tracer: Tracer,
    name: str,
    call: dict[str, Any],
    inputs: Sequence[Tensor],
    out: Any,
    *,
    plain: bool,
) -> None:
    """Follow the means among the inputs of a call, until they are back or go elsewhere.

    Args:
        tracer: knows them.
        name: of the operator.
        call: its arguments by name.
        inputs: all tensors among them.
        out: what came out.
        plain: whether it changes no values, as a view.
    """
    going = []
    for tensor in inputs:
        for mean in tracer.means(tensor):
            if plain or mean.exact:
                going += [mean] if plain or name in ARITHMETIC else []
                continue
            back = _is_back(tracer, mean, [t for t in inputs if t is not tensor])
            if name in ARITHMETIC and not back:
                going.append(mean._replace(inverse=mean.inverse != _inverts(name, tensor, call)))
            elif not (back and _normalizes(name, mean, tensor, call)):
                tracer.trace.freeze(torch.from_numpy(mean.labels), mean.why)
    if going:
        for tensor in out if isinstance(out, list | tuple) else [out]:
            if isinstance(tensor, Tensor):
                tracer.set_means(tensor, going)


def keep_means(tracer: Tracer, tensor: Tensor) -> None:
    """Means that leave the network: their channels must stay."""
    for mean in tracer.means(tensor):
        if not mean.exact:
            tracer.trace.freeze(torch.from_numpy(mean.labels), mean.why)


def _is_back(tracer: Tracer, mean: Mean, others: Sequence[Tensor]) -> bool:
    """Whether the channels that it was taken of are among those of the other operands."""
    found = [variables_of(la) for tensor in others for la in tracer.label_maps(tensor)]
    return bool(found) and bool(np.isin(mean.labels, np.concatenate(found)).all())


def _inverts(name: str, tensor: Tensor, call: dict[str, Any]) -> bool:
    exponent = call.get("exponent")
    return (
        name in INVERSE
        or (name == "pow" and isinstance(exponent, int | float) and exponent < 0)
        or (name == "div" and tensor is not call["self"])
    )


def _normalizes(name: str, mean: Mean, tensor: Tensor, call: dict[str, Any]) -> bool:
    """As in x - mean, x / deviation, x * (1 / deviation); one that is multiplied with is a gate."""
    if name == "div":
        return tensor is not call["self"] and not mean.inverse
    return mean.inverse if name == "mul" else name in ("sub", "rsub")
