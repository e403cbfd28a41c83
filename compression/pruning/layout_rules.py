"""How operators that put tensors together, look up in them or fill them pass channels on."""

from typing import Any

import torch
from torch import Tensor

from compression.pruning.labels import normalised, varying
from compression.pruning.rules import rule
from compression.pruning.trace import Tracer


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
