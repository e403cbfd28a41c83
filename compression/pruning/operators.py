"""How each operator passes channels on.

An operator that is not listed, and is neither a view nor done element by element, makes all
channels that enter it stay as they are: what cannot be followed is never cut.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from compression.pruning import layer_rules, layout_rules  # noqa: F401 - they add their rules
from compression.pruning.labels import compact, normalised, reshaped, varying
from compression.pruning.rules import RULES, join, tensors_of
from compression.pruning.trace import Tracer

# Where an output element belongs to the channel of the input element at the same place.
ELEMENTWISE = {
    "_softmax", "_log_softmax", "cumsum", "hardswish", "native_dropout", "_prelu_kernel", "copy",
    "_to_copy", "clone", "alias", "detach", "zeros_like", "ones_like", "empty_like", "new_empty",
    "rand_like", "bernoulli", "softplus", "log_sigmoid_forward", "lift_fresh", "rsub",
    "_safe_softmax",
}  # fmt: skip
MOVES = {
    "_unsafe_view",
    "repeat",
    "roll",
    "flip",
    "pixel_shuffle",
    "pixel_unshuffle",
}
REDUCTIONS = {
    "mean", "sum", "amax", "amin", "max", "min", "var_mean", "var", "std", "linalg_vector_norm",
    "norm", "logsumexp", "std_mean",
}  # fmt: skip
SPATIAL = {
    "max_pool2d_with_indices", "avg_pool2d", "_adaptive_avg_pool2d", "adaptive_max_pool2d",
    "_adaptive_avg_pool3d", "avg_pool3d", "avg_pool1d", "reflection_pad2d", "replication_pad2d",
    "upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d", "_upsample_bilinear2d_aa",
    "_upsample_bicubic2d_aa",
}  # fmt: skip


def follow(
    tracer: Tracer,
    func: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    inputs: Sequence[Tensor],
    out: Any,
) -> None:
    """Give the results of one call their labels.

    Args:
        tracer: knows the labels of the inputs.
        func: the operator.
        args: of the call, in order.
        kwargs: of the call.
        inputs: all tensors among them.
        out: what came out.
    """
    name = func._schema.name.partition("::")[2]
    name = name.removesuffix("_") if func._schema.is_mutable else name
    names = [argument.name for argument in func._schema.arguments]
    call = {**dict(zip(names, args, strict=False)), **kwargs}
    if name in RULES:
        RULES[name](tracer, call, out)
    elif torch.Tag.pointwise in func.tags or name in ELEMENTWISE:
        join(tracer, inputs, out)
    elif name in REDUCTIONS:
        _reduce(tracer, call, out)
    elif name in SPATIAL:
        _spatial(tracer, call["self"] if "self" in call else call["input"], out)
    elif (func.is_view and name != "as_strided") or name in MOVES:
        _move(tracer, func, args, kwargs, out)
    else:
        tracer.give_up(name, inputs)


def _move(tracer: Tracer, func: Any, args: tuple, kwargs: dict[str, Any], out: Any) -> None:
    """A view or a copy in another order: the same is done to the labels."""
    source = args[0]
    results = tensors_of(out)
    moved: list[list[Tensor]] = [[] for _ in results]
    for layer in tracer.layers(source):
        try:
            found = tensors_of(func(layer, *args[1:], **kwargs))
        except RuntimeError:  # no view of an expanded tensor
            found = [layer.reshape(results[0].shape)]
        found = [normalised(part) for part in found]
        dealt = any(len(varying(part)) > len(varying(layer)) for part in found)
        if dealt or any(_lacks(part, layer) for part in found):
            tracer.trace.couple(layer)
        for own, part in zip(moved, found, strict=True):
            own.append(part)
    for tensor, own in zip(results, moved, strict=True):
        tracer.set(tensor, own, tracer.weight(source))


def _lacks(part: Tensor, layer: Tensor) -> bool:
    """Whether labels of the layer are not in its part."""
    return part.numel() < layer.numel() and len(_labels(part)) < len(_labels(layer))


def _labels(layer: Tensor) -> Tensor:
    return compact([layer])[0].unique()


def _reduce(tracer: Tracer, call: dict[str, Any], out: Any) -> None:
    source = call["self"] if "self" in call else call["x"]
    dims = call.get("dim")
    dims = [dims] if isinstance(dims, int) else dims
    dims = [d % source.ndim for d in dims] if dims else list(range(source.ndim))
    layers = []
    for layer in tracer.layers(source):
        along = varying(layer) & set(dims)
        if along == varying(layer):  # over all channels: they are mixed, and no longer channels
            continue
        for dim in along:  # over channels of several parts, such as the branches of an attention
            firsts = layer.narrow(dim, 0, 1).expand(layer.shape)
            tracer.trace.tie(firsts, layer)
            layer = firsts
        for dim in dims:
            layer = layer.narrow(dim, 0, 1)
        layers.append(layer)
    for tensor in tensors_of(out):
        fitting = [la for la in layers if la.numel() <= max(tensor.numel(), 1)]
        tracer.set(tensor, [reshaped(la, tensor.shape) for la in fitting])


def _spatial(tracer: Tracer, source: Tensor, out: Any) -> None:
    """Pooling, resizing and padding of the map: N and C stay."""
    for tensor in tensors_of(out):
        shape = tensor.shape
        layers = []
        for layer in tracer.layers(source):
            if max(varying(layer)) <= 1 and shape[:2] == source.shape[:2]:
                for dim in range(2, layer.ndim):
                    layer = layer.narrow(dim, 0, 1)
                layers.append(layer.expand(shape))
            else:
                tracer.trace.freeze(layer)
        tracer.set(tensor, layers)
