"""How the operators of PyTorch pass channels on.

Operators with weights and those that change the layout have rules of their own (`layer_rules`,
`layout_rules`); here is the list of rules, and what all others do. An operator that has no rule,
and is neither a view nor done element by element, makes all channels that enter it stay as they
are: what cannot be followed is never cut.
"""

from collections.abc import Callable, Sequence
from itertools import chain, product
from typing import Any

import torch
from torch import Tensor

from compression.pruning.labels import aligned, compact, normalized, reshaped, varying
from compression.pruning.means import pass_means
from compression.pruning.tracer import Tracer
from compression.pruning.zeros import pass_zeros

Rule = Callable[[Tracer, dict[str, Any], Any], None]  # (tracer, call by argument name, result)
RULES: dict[str, Rule] = {}

# Where an output element belongs to the channel of the input element at the same place.
ELEMENTWISE = {
    "hardswish", "native_dropout", "_prelu_kernel", "copy", "_to_copy", "clone", "alias", "detach",
    "zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like", "bernoulli",
    "softplus", "log_sigmoid_forward", "lift_fresh", "rsub", "fill", "zero",
}  # fmt: skip
MOVES = {
    "_unsafe_view",
    "repeat",
    "roll",
    "flip",
    "pixel_shuffle",
    "pixel_unshuffle",
}
SPATIAL = {
    "max_pool2d_with_indices", "avg_pool2d", "_adaptive_avg_pool2d", "adaptive_max_pool2d",
    "max_pool3d_with_indices", "_adaptive_avg_pool3d", "avg_pool3d", "avg_pool1d",
    "reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "replication_pad1d",
    "replication_pad2d", "replication_pad3d", "upsample_linear1d", "upsample_nearest1d",
    "upsample_nearest2d", "_upsample_nearest_exact2d", "upsample_bilinear2d", "upsample_bicubic2d",
    "upsample_nearest3d", "upsample_trilinear3d", "_upsample_bilinear2d_aa",
    "_upsample_bicubic2d_aa",
}  # fmt: skip
# What changes nothing that a channel computes.
COPIES = {"clone", "alias", "detach", "lift_fresh", "_to_copy", "_unsafe_view", "cat", "stack",
          "zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like",
          "new_empty", "new_zeros", "new_ones", "new_full", "new_empty_strided"}  # fmt: skip


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register how the operators of these names pass channels on."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


def join(
    tracer: Tracer, inputs: Sequence[Tensor], out: Any, shapes: Sequence[Sequence[int]] = ()
) -> None:
    """Elements at the same place belong together.

    Args:
        tracer: knows the labels.
        inputs: broadcast to the shape of the output.
        out: gets the labels of all of them.
        shapes: of the inputs for the broadcast, where those are not their own.
    """
    first = first_of(out)
    shapes = shapes or [tensor.shape for tensor in inputs]
    joined: dict[frozenset[int], list[Tensor]] = {}
    padded = [
        (1,) * (first.ndim - len(shape)) + _own_sizes(tensor, shape)
        for tensor, shape in zip(inputs, shapes, strict=True)
    ]
    found: list[dict[frozenset[int], list[Tensor]]] = []
    for tensor, shape in zip(inputs, shapes, strict=True):
        own: dict[frozenset[int], list[Tensor]] = {}
        for label_map in tracer.label_maps(tensor):
            label_map = aligned(reshaped(label_map, shape), first.shape)
            own.setdefault(varying(label_map), []).append(label_map)
        found.append(own)
    for own in found:
        for dims, label_maps in own.items():
            known = joined.setdefault(dims, label_maps)
            alike = len(known) == len(label_maps)  # as of weights whose axes lie along one
            pairs = zip(known, label_maps, strict=True) if alike else product(known, label_maps)
            for one, other in pairs:
                if one is not other:
                    tracer.trace.tie(one, other)
    for dims in list(joined):
        # A tensor with values of its own along these dimensions would have to be cut as well.
        if any(
            dims not in own and any(shape[d] > 1 for d in dims)
            for own, shape in zip(found, padded, strict=True)
        ):
            why = f"its channels meet a tensor of a size of its own in {tracer.at}"
            for label_map in joined.pop(dims):
                tracer.trace.freeze(label_map, why)
    weight = _joint_weight(tracer, inputs)
    for tensor in tensors_of(out):
        if tensor.shape == first.shape:
            tracer.set(tensor, [*chain(*joined.values())], weight)


def _joint_weight(tracer: Tracer, inputs: Sequence[Tensor]) -> str | None:
    """The weight that all are made of, as one that is standardized; its gain is smaller."""
    names = [tracer.weight(tensor) for tensor in inputs if tracer.label_maps(tensor)]
    known = [name for name in names if name is not None]
    if not known or len(known) < len(names):
        return None
    return max(known, key=lambda name: tracer.trace.shapes[name].numel())


def _own_sizes(tensor: Tensor, shape: Sequence[int]) -> tuple[int, ...]:
    """The shape, with 1 where a tensor is only expanded."""
    if tuple(tensor.shape) != tuple(shape):
        return tuple(shape)
    return tuple(1 if tensor.stride(d) == 0 else size for d, size in enumerate(shape))


def tensors_of(out: Any) -> list[Tensor]:
    """The tensors among what an operator gave back."""
    return [t for t in (out if isinstance(out, list | tuple) else [out]) if isinstance(t, Tensor)]


def first_of(out: Any) -> Tensor:
    """The first of them."""
    return tensors_of(out)[0]


def propagate(
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
    # One that is made of many others, such as a bitwise view, is no view of labels.
    view = func.is_view and name != "as_strided"
    elementwise = torch.Tag.pointwise in func.tags or name in ELEMENTWISE
    if not (view or name in COPIES):
        numbers = int | float if elementwise else float
        constants = [value for value in call.values() if isinstance(value, numbers)]
        tracer.visit(name, call, constants)
    pass_means(tracer, name, call, inputs, out, plain=view or name in COPIES)
    if name in RULES:
        RULES[name](tracer, call, out)
    elif elementwise:
        join(tracer, inputs, out)
    elif name in SPATIAL:
        _spatial(tracer, call["self"] if "self" in call else call["input"], out)
    elif view or name in MOVES:
        _move(tracer, name, func, args, kwargs, out)
    else:
        tracer.freeze_unknown_op(name, inputs)
    pass_zeros(tracer, name, call, inputs, out, elementwise=elementwise)


def _move(
    tracer: Tracer, name: str, func: Any, args: tuple, kwargs: dict[str, Any], out: Any
) -> None:
    """A view or a copy in another order: the same is done to the labels."""
    source = args[0]
    results = tensors_of(out)
    moved: list[list[Tensor]] = [[] for _ in results]
    for label_map in tracer.label_maps(source):
        try:
            found = tensors_of(func(label_map, *args[1:], **kwargs))
        except RuntimeError:  # no view of an expanded tensor, or none of whole numbers
            if label_map.numel() != results[0].numel() or len(results) > 1:
                return tracer.freeze_unknown_op(name, [source])
            found = [label_map.reshape(results[0].shape)]
        found = [normalized(part) for part in found]
        dealt = any(len(varying(part)) > len(varying(label_map)) for part in found)
        if dealt or any(_lacks(part, label_map) for part in found):
            tracer.trace.tie_ratio(label_map)
        for part in found:
            if part.numel() and not varying(part):  # it would pass for one that suits all sizes
                tracer.trace.freeze(part, f"one channel is taken out by {name} in {tracer.at}")
        for own, part in zip(moved, found, strict=True):
            own.append(part)
    for tensor, own in zip(results, moved, strict=True):
        tracer.set(tensor, own, tracer.weight(source))
    return None


def _lacks(part: Tensor, label_map: Tensor) -> bool:
    """Whether labels of the map are not in its part."""
    return part.numel() < label_map.numel() and len(_labels(part)) < len(_labels(label_map))


def _labels(label_map: Tensor) -> Tensor:
    return compact([label_map])[0].unique()


def _spatial(tracer: Tracer, source: Tensor, out: Any) -> None:
    """Pooling, resizing and padding of the map: N and C stay."""
    for tensor in tensors_of(out):
        shape = tensor.shape
        label_maps = []
        for label_map in tracer.label_maps(source):
            if max(varying(label_map)) <= 1 and shape[:2] == source.shape[:2]:
                for dim in range(2, label_map.ndim):
                    label_map = label_map.narrow(dim, 0, 1)
                label_maps.append(label_map.expand(shape))
            else:
                tracer.trace.freeze(label_map, f"its channels are pooled in {tracer.at}")
        tracer.set(tensor, label_maps)
