"""Where channels that are taken out would be 0, and where not: after a sigmoid they are 1/2.

A sum over channels takes no notice of those that are 0, and is changed by all others.
"""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from compression.pruning.labels import varying
from compression.pruning.tracer import Tracer

# f(0) = 0
KEEP = {
    "relu", "gelu", "silu", "hardswish", "tanh", "leaky_relu", "elu", "celu", "selu", "mish",
    "_prelu_kernel", "neg", "abs", "sqrt", "square", "sin", "asin", "atan", "sign", "sgn", "round",
    "floor", "ceil", "trunc", "expm1", "log1p", "erf", "native_dropout", "softshrink", "hardshrink",
    "zeros_like", "empty_like", "copy", "_to_copy", "clone", "alias", "detach", "lift_fresh",
}  # fmt: skip


def pass_zeros(
    tracer: Tracer,
    name: str,
    call: dict[str, Any],
    inputs: Sequence[Tensor],
    out: Any,
    *,
    elementwise: bool,
) -> None:
    """Say of the results of a call whether channels that are taken out may be other than 0.

    Args:
        tracer: knows it of the inputs.
        name: of the operator.
        call: its arguments by name.
        inputs: all tensors among them.
        out: what came out.
        elementwise: whether every element of it is made of those at the same place.
    """
    found = out if isinstance(out, list | tuple) else [out]
    results = [t for t in found if isinstance(t, Tensor) and tracer.label_maps(t)]
    labelled = [tensor for tensor in inputs if tracer.label_maps(tensor)]
    if not results:
        return
    decide = DECIDE.get(name)
    fills = any(tracer.filled(tensor) for tensor in labelled)
    if decide is not None:
        fills = decide(tracer, call, labelled, results[0])
    elif elementwise or name.endswith("softmax"):
        fills = fills or name not in KEEP
    if fills:
        for tensor in results:
            tracer.fill(tensor)


def _of_convolution(
    tracer: Tracer, call: dict[str, Any], labelled: list[Tensor], out: Tensor
) -> bool:
    return tracer.filled(call["weight"])


def _of_product(tracer: Tracer, call: dict[str, Any], labelled: list[Tensor], out: Tensor) -> bool:
    """Rows and columns that are 0 stay 0."""
    summed = {"self": -1, "mat1": -1, "batch1": -1, "mat2": -2, "batch2": -2}
    factors = [(name, call[name]) for name in summed if name in call]
    if len(factors) > 2:  # the first is added
        factors = factors[1:]
    return any(
        tracer.filled(tensor)
        and any(summed[name] % tensor.ndim not in varying(la) for la in tracer.label_maps(tensor))
        for name, tensor in factors
    )


def _of_layer_norm(
    tracer: Tracer, call: dict[str, Any], labelled: list[Tensor], out: Tensor
) -> bool:
    """Channels that it has no part of are shifted by it; those it has are left out of it."""
    inside = {*range(out.ndim - len(call["normalized_shape"]), out.ndim)}
    return any(not varying(label_map) & inside for label_map in tracer.label_maps(out))


def _of_mul(tracer: Tracer, call: dict[str, Any], labelled: list[Tensor], out: Tensor) -> bool:
    filled = [tracer.filled(tensor) for tensor in labelled]
    alike = {frozenset(map(varying, tracer.label_maps(tensor))) for tensor in labelled}
    return all(filled) if len(alike) == 1 else any(filled)


def _of_div(tracer: Tracer, call: dict[str, Any], labelled: list[Tensor], out: Tensor) -> bool:
    numerator = call["self"]
    return tracer.filled(numerator) or not tracer.label_maps(numerator)


def _of_sum(tracer: Tracer, call: dict[str, Any], labelled: list[Tensor], out: Tensor) -> bool:
    terms = [call["self"], call["other"]]
    zeros = [
        not tracer.filled(term)
        if isinstance(term, Tensor) and tracer.label_maps(term)
        else term == 0
        for term in terms
        if not (isinstance(term, Tensor) and not tracer.label_maps(term))
    ]
    return not all(zeros) or len(zeros) < len(terms)


def _of_limits(tracer: Tracer, call: dict[str, Any], labelled: list[Tensor], out: Tensor) -> bool:
    low, high = (call.get(f"{end}", call.get(f"{end}_val")) for end in ("min", "max"))
    inside = (low is None or low <= 0) and (high is None or high >= 0)
    return any(tracer.filled(tensor) for tensor in labelled) or not inside


def _of_power(tracer: Tracer, call: dict[str, Any], labelled: list[Tensor], out: Tensor) -> bool:
    exponent = call["exponent"]
    keeps = isinstance(exponent, int | float) and exponent > 0
    return any(tracer.filled(tensor) for tensor in labelled) or not keeps


def _of_padding(tracer: Tracer, call: dict[str, Any], labelled: list[Tensor], out: Tensor) -> bool:
    return tracer.filled(call["self"]) or bool(call.get("value"))


DECIDE: dict[str, Callable[[Tracer, dict[str, Any], list[Tensor], Tensor], bool]] = {
    **dict.fromkeys(("mm", "addmm", "bmm", "baddbmm"), _of_product),
    **dict.fromkeys(("clamp", "hardtanh"), _of_limits),
    **dict.fromkeys(("add", "sub"), _of_sum),
    "convolution": _of_convolution,
    "native_layer_norm": _of_layer_norm,
    "mul": _of_mul,
    "div": _of_div,
    "pow": _of_power,
    "constant_pad_nd": _of_padding,
}
