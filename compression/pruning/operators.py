"""How each operator passes channels on.

An operator that is not listed, and is neither a view nor done element by element, makes all
channels that enter it stay as they are: what cannot be followed is never cut.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from compression.pruning.labels import aligned, compact, normalised, reshaped, varying
from compression.pruning.trace import IN, Tracer

Rule = Callable[[Tracer, dict[str, Any], Tensor], None]
RULES: dict[str, Rule] = {}

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
BATCH_NORMS = ("native_batch_norm", "_native_batch_norm_legit", "cudnn_batch_norm",
               "_native_batch_norm_legit_no_training", "_batch_norm_no_update")  # fmt: skip


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
    first = _first(out)
    shapes = shapes or [tensor.shape for tensor in inputs]
    joined: dict[frozenset[int], Tensor] = {}
    padded = [(1,) * (first.ndim - len(shape)) + tuple(shape) for shape in shapes]
    found = []
    for tensor, shape in zip(inputs, shapes, strict=True):
        layers = (aligned(reshaped(layer, shape), first.shape) for layer in tracer.layers(tensor))
        found.append({varying(layer): layer for layer in layers})
    for own in found:
        for dims, layer in own.items():
            if dims in joined:
                tracer.trace.tie(joined[dims], layer)
            else:
                joined[dims] = layer
    for dims, layer in joined.items():
        # A tensor with values of its own along these dimensions would have to be cut as well.
        if any(
            dims not in own and any(shape[d] > 1 for d in dims)
            for own, shape in zip(found, padded, strict=True)
        ):
            tracer.trace.freeze(layer)
    weights = [tracer.weight(tensor) for tensor in inputs if tracer.layers(tensor)]
    weight = weights[0] if weights and None not in weights else None  # as standardised ones
    for tensor in _tensors(out):
        if tensor.shape == first.shape:
            tracer.set(tensor, list(joined.values()), weight)


def _move(tracer: Tracer, func: Any, args: tuple, kwargs: dict[str, Any], out: Any) -> None:
    """A view or a copy in another order: the same is done to the labels."""
    source = args[0]
    results = _tensors(out)
    moved: list[list[Tensor]] = [[] for _ in results]
    for layer in tracer.layers(source):
        try:
            found = _tensors(func(layer, *args[1:], **kwargs))
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
    for tensor in _tensors(out):
        fitting = [la for la in layers if la.numel() <= max(tensor.numel(), 1)]
        tracer.set(tensor, [reshaped(la, tensor.shape) for la in fitting])


def _spatial(tracer: Tracer, source: Tensor, out: Any) -> None:
    """Pooling, resizing and padding of the map: N and C stay."""
    for tensor in _tensors(out):
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


@rule("new_zeros", "new_ones", "new_full", "new_empty_strided")
def _create(tracer: Tracer, call: dict[str, Any], out: Tensor) -> None:
    """Of a size of its own: without labels."""


@rule("as_strided")
def _as_strided(tracer: Tracer, call: dict[str, Any], out: Tensor) -> None:
    """Pooling of channels-last maps ends in one that changes nothing but the strides."""
    if all(layer.shape == out.shape for layer in tracer.layers(call["self"])):
        tracer.set(out, tracer.layers(call["self"]))
    else:
        tracer.give_up("as_strided", [call["self"]])


@rule("constant_pad_nd")
def _pad(tracer: Tracer, call: dict[str, Any], out: Tensor) -> None:
    source, pad = call["self"], call["pad"]
    padded = {source.ndim - 1 - i // 2 for i, n in enumerate(pad) if n}
    layers = []
    for layer in tracer.layers(source):
        if varying(layer) & padded:  # channels of nothing but zeros come in
            layers.append(torch.constant_pad_nd(layer, pad, 0))
        else:
            for dim in padded:
                layer = layer.narrow(dim, 0, 1)
            layers.append(layer.expand(out.shape))
    tracer.set(out, layers)


@rule("cat")
def _cat(tracer: Tracer, call: dict[str, Any], out: Tensor) -> None:
    tensors, dim = call["tensors"], call.get("dim", 0) % out.ndim
    tensors = [t for t in tensors if t.numel()]
    stacks = [sorted(tracer.layers(t), key=lambda la: sorted(varying(la))) for t in tensors]
    layers = []
    for depth in range(max(map(len, stacks))):
        parts = [
            own[depth] if depth < len(own) else torch.zeros((), dtype=torch.int64).expand(t.shape)
            for own, t in zip(stacks, tensors, strict=True)
        ]
        kinds = {varying(part) for part in parts}
        if len(kinds) == 1 and dim not in next(iter(kinds)):  # tokens or images behind each other
            firsts = [part.narrow(dim, 0, 1) for part in parts]
            for other in firsts[1:]:
                tracer.trace.tie(firsts[0], other)
            layers.append(firsts[0].expand(out.shape))
        else:
            layers.append(normalised(torch.cat(parts, dim)))
    tracer.set(out, layers)


@rule("stack")
def _stack(tracer: Tracer, call: dict[str, Any], out: Tensor) -> None:
    dim = call.get("dim", 0) % out.ndim
    raised = []
    for tensor in call["tensors"]:
        twin = tensor.unsqueeze(dim)
        tracer.set(twin, [layer.unsqueeze(dim) for layer in tracer.layers(tensor)])
        raised.append(twin)
    _cat(tracer, {"tensors": raised, "dim": dim}, out)


@rule("index", "index_select", "embedding")
def _index(tracer: Tracer, call: dict[str, Any], out: Tensor) -> None:
    """A table looked up: along the dimensions that are indexed, nothing can be taken out."""
    source = call["self"] if "self" in call else call["weight"]
    chosen = call["index"] if "index" in call else call["indices"]
    chosen = list(chosen) if isinstance(chosen, list | tuple) else [chosen]
    chosen = [None] * call.get("dim", 0) + chosen
    looked_up = {d for d, index in enumerate(chosen) if index is not None}
    masks = any(i is not None and i.dtype == torch.bool for i in chosen)
    zeros = [i if i is None else torch.zeros(i.shape, dtype=torch.int64) for i in chosen]
    layers = []
    for layer in tracer.layers(source):
        if varying(layer) & looked_up or masks:
            tracer.trace.freeze(layer)
        else:
            layers.append(normalised(torch.ops.aten.index(layer, zeros)))
    tracer.set(out, [layer for layer in layers if layer.shape == out.shape])


@rule("glu")
def _glu(tracer: Tracer, call: dict[str, Any], out: Tensor) -> None:
    source, dim = call["self"], call.get("dim", -1) % out.ndim
    layers = []
    for layer in tracer.layers(source):
        value, gate = layer.chunk(2, dim)
        tracer.trace.couple(layer)
        if dim in varying(layer):
            tracer.trace.tie(value, gate)
        layers.append(normalised(value))
    tracer.set(out, layers)


@rule("convolution")
def _convolution(tracer: Tracer, call: dict[str, Any], out: Tensor) -> None:
    x, w, bias, groups = call["input"], call["weight"], call["bias"], call["groups"]
    name, trace = tracer.weight(w), tracer.trace
    macs = (x if call["transposed"] else out).shape[2:].numel() * w.numel()
    if name is None:
        trace.other_macs += macs
        return tracer.give_up("convolution", [x, w, bias])
    trace.macs[name] += macs
    if out.shape[1] == x.shape[1] == 1 and out.shape == x.shape:  # along the channels, as in ECA
        for layer in tracer.layers(w):
            trace.freeze(layer)
        return tracer.set(out, tracer.layers(x))
    if call["transposed"] and groups > 1:
        return tracer.give_up("conv_transpose", [x, w, bias])
    incoming = _channel_labels(tracer, x)
    outer, inner = (1, 0) if call["transposed"] else (0, 1)
    produced = _axis_labels(tracer, w, outer)
    if groups == 1:
        trace.tie(_axis_labels(tracer, w, inner), incoming)
    elif w.shape[1] == 1:  # every group is a channel: they are cut together
        trace.tie(produced, incoming.repeat_interleave(len(produced) // len(incoming)))
    else:
        trace.tie(trace.key(name, IN, len(incoming)), incoming)
        trace.groups[name, IN] = trace.groups[name, 0] = groups
    shape = (1, -1) + (1,) * (out.ndim - 2)
    if bias is not None:
        trace.tie(_axis_labels(tracer, bias, 0), produced)
    return tracer.set(out, [produced.reshape(shape).expand(out.shape)])


def _axis_labels(tracer: Tracer, tensor: Tensor, axis: int) -> Tensor:
    """The labels along one axis of a weight; zeros where it has none, or is one long."""
    found = [la for la in tracer.layers(tensor) if varying(la) == {axis}]
    if not found:
        return torch.zeros(tensor.shape[axis], dtype=torch.int64)
    return found[0].movedim(axis, 0).reshape(tensor.shape[axis], -1)[:, 0]


def _channel_labels(tracer: Tracer, x: Tensor) -> Tensor:
    """The labels of the channels of a map; other layers cannot pass a convolution."""
    found = torch.zeros(x.shape[1], dtype=torch.int64)
    for layer in tracer.layers(x):
        if varying(layer) == {1}:
            found = layer.movedim(1, 0).reshape(x.shape[1], -1)[:, 0]
        else:
            tracer.trace.freeze(layer)
    return found


@rule(*BATCH_NORMS)
def _batch_norm(tracer: Tracer, call: dict[str, Any], out: Any) -> None:
    x = call["input"]
    own = [call.get(n) for n in ("weight", "bias", "running_mean", "running_var")]
    own = [tensor for tensor in own if tensor is not None]
    along = (x.shape[1],) + (1,) * (x.ndim - 2)
    join(tracer, [x, *own], _first(out), [x.shape, *([along] * len(own))])


@rule("native_layer_norm")
def _layer_norm(tracer: Tracer, call: dict[str, Any], out: Any) -> None:
    own = [call[n] for n in ("input", "weight", "bias") if call.get(n) is not None]
    join(tracer, own, _first(out))


@rule("native_group_norm")
def _group_norm(tracer: Tracer, call: dict[str, Any], out: Any) -> None:
    x, weight = call["input"], call["weight"]
    if call["group"] > 1:
        if weight is None or tracer.weight(weight) is None:
            return tracer.give_up("group_norm without weights", [x])
        tracer.trace.groups[tracer.weight(weight), 0] = call["group"]
    own = [call[n] for n in ("weight", "bias") if call.get(n) is not None]
    along = (x.shape[1],) + (1,) * (x.ndim - 2)
    return join(tracer, [x, *own], _first(out), [x.shape, *([along] * len(own))])


@rule("mm", "bmm")
def _matmul(tracer: Tracer, call: dict[str, Any], out: Tensor) -> None:
    _product(tracer, call["self"], call["mat2"], out)


@rule("addmm")
def _addmm(tracer: Tracer, call: dict[str, Any], out: Tensor) -> None:
    _product(tracer, call["mat1"], call["mat2"], out)
    _add_bias(tracer, call["self"], out)


@rule("baddbmm")
def _baddbmm(tracer: Tracer, call: dict[str, Any], out: Tensor) -> None:
    _product(tracer, call["batch1"], call["batch2"], out)
    _add_bias(tracer, call["self"], out)


def _add_bias(tracer: Tracer, bias: Tensor, out: Tensor) -> None:
    twin = torch.empty_like(out)
    tracer.set(twin, tracer.layers(out))
    join(tracer, [twin, bias], out)


def _product(tracer: Tracer, a: Tensor, b: Tensor, out: Tensor) -> None:
    """... x n x k times ... x k x m: k is summed over, n and m go on."""
    name = tracer.weight(a) or tracer.weight(b)
    macs = out.numel() * a.shape[-1]
    if name is None:
        tracer.trace.other_macs += macs
    else:
        tracer.trace.macs[name] += macs
    k_of_a, k_of_b = a.ndim - 1, b.ndim - 2
    kept, summed_a = _sorted_out(tracer, a, k_of_a)
    kept_b, summed_b = _sorted_out(tracer, b, k_of_b)
    zeros = torch.zeros((), dtype=torch.int64)
    flat_a = summed_a.narrow(k_of_a - 1, 0, 1).squeeze(-2) if summed_a is not None else None
    flat_b = summed_b.narrow(k_of_b + 1, 0, 1).squeeze(-1) if summed_b is not None else None
    if flat_a is not None or flat_b is not None:
        shape = flat_a.shape if flat_a is not None else flat_b.shape
        flat_a = zeros.expand(shape) if flat_a is None else flat_a
        flat_b = zeros.expand(shape) if flat_b is None else flat_b
        tracer.trace.tie(flat_a, flat_b)
    layers = [layer.narrow(k_of_a, 0, 1).expand(out.shape) for layer in kept]
    layers += [layer.narrow(k_of_b, 0, 1).expand(out.shape) for layer in kept_b]
    tracer.set(out, layers)


def _sorted_out(tracer: Tracer, tensor: Tensor, k: int) -> tuple[list[Tensor], Tensor | None]:
    """Layers that do not vary along k, and the one that does."""
    free = 2 * tensor.ndim - 3 - k  # the other one of the last two dimensions
    kept, summed = [], None
    for layer in tracer.layers(tensor):
        if k not in varying(layer):
            kept.append(layer)
        elif free in varying(layer) or summed is not None:
            tracer.trace.freeze(layer)
        else:
            summed = layer
    return kept, summed


def _tensors(out: Any) -> list[Tensor]:
    return [t for t in (out if isinstance(out, list | tuple) else [out]) if isinstance(t, Tensor)]


def _first(out: Any) -> Tensor:
    return _tensors(out)[0]
