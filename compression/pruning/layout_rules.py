"""How operators that put tensors together, look up in them or fill them pass channels on."""

from itertools import chain
from typing import Any

import torch
from torch import Tensor

from compression.pruning.labels import normalized, varying
from compression.pruning.rules import rule
from compression.pruning.tracer import Tracer


@rule("new_empty", "new_zeros", "new_ones", "new_full", "new_empty_strided")
def _create(tracer: Tracer, call: dict[str, Any], out: Tensor) -> None:
    """Of a size of its own: with labels where that has as many channels at the same place."""
    label_maps = []
    for label_map in tracer.label_maps(call["self"]):
        dims, shape = varying(label_map), label_map.shape
        if out.ndim == len(shape) and all(out.shape[d] == shape[d] for d in dims):
            for dim in {*range(out.ndim)} - dims:
                label_map = label_map.narrow(dim, 0, 1)
            label_maps.append(label_map.expand(out.shape))
    tracer.set(out, label_maps)


@rule("view_as_complex")
def _view_as_complex(tracer: Tracer, call: dict[str, Any], out: Tensor) -> None:
    """The last axis holds the real and the imaginary part of one number."""
    label_maps = []
    for label_map in tracer.label_maps(call["self"]):
        real, imaginary = label_map.unbind(-1)
        tracer.trace.tie(real, imaginary)
        label_maps.append(normalized(real))
    tracer.set(out, label_maps)


@rule("view_as_real")
def _view_as_real(tracer: Tracer, call: dict[str, Any], out: Tensor) -> None:
    label_maps = tracer.label_maps(call["self"])
    tracer.set(out, [label_map.unsqueeze(-1).expand(out.shape) for label_map in label_maps])


@rule("as_strided")
def _as_strided(tracer: Tracer, call: dict[str, Any], out: Tensor) -> None:
    """Pooling of channels-last maps ends in one that changes nothing but the strides."""
    if all(label_map.shape == out.shape for label_map in tracer.label_maps(call["self"])):
        tracer.set(out, tracer.label_maps(call["self"]))
    else:
        tracer.freeze_unknown_op("as_strided", [call["self"]])


@rule("constant_pad_nd")
def _pad(tracer: Tracer, call: dict[str, Any], out: Tensor) -> None:
    source, pad = call["self"], call["pad"]
    padded = {source.ndim - 1 - i // 2 for i, n in enumerate(pad) if n}
    label_maps = []
    for label_map in tracer.label_maps(source):
        if varying(label_map) & padded:  # channels of nothing but zeros come in
            label_maps.append(normalized(torch.constant_pad_nd(label_map, pad, 0)))
        else:
            for dim in padded:
                label_map = label_map.narrow(dim, 0, 1)
            label_maps.append(label_map.expand(out.shape))
    tracer.set(out, label_maps)


@rule("cat")
def _cat(tracer: Tracer, call: dict[str, Any], out: Tensor) -> None:
    tensors, dim = call["tensors"], call.get("dim", 0) % out.ndim
    tensors = [t for t in tensors if t.numel()]
    stacks = [sorted(tracer.label_maps(t), key=lambda la: sorted(varying(la))) for t in tensors]
    label_maps = []
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
            label_maps.append(firsts[0].expand(out.shape))
        else:
            for flat in {*range(out.ndim)} - {dim, *chain(*kinds)}:  # cheap where none varies
                parts = [part.narrow(flat, 0, min(1, part.shape[flat])) for part in parts]
            label_maps.append(normalized(torch.cat(parts, dim)).expand(out.shape))
    tracer.set(out, label_maps)


@rule("stack")
def _stack(tracer: Tracer, call: dict[str, Any], out: Tensor) -> None:
    dim = call.get("dim", 0) % out.ndim
    unsqueezed = []
    for tensor in call["tensors"]:
        twin = tensor.unsqueeze(dim)
        tracer.set(twin, [label_map.unsqueeze(dim) for label_map in tracer.label_maps(tensor)])
        unsqueezed.append(twin)
    _cat(tracer, {"tensors": unsqueezed, "dim": dim}, out)


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
    label_maps = []
    for label_map in tracer.label_maps(source):
        if varying(label_map) & looked_up or masks:
            why = f"its channels are looked up by number in {tracer.at}"
            tracer.trace.freeze(label_map, why)
        else:
            label_maps.append(normalized(torch.ops.aten.index(label_map, zeros)))
    tracer.set(out, [label_map for label_map in label_maps if label_map.shape == out.shape])


@rule("glu")
def _glu(tracer: Tracer, call: dict[str, Any], out: Tensor) -> None:
    source, dim = call["self"], call.get("dim", -1) % out.ndim
    label_maps = []
    for label_map in tracer.label_maps(source):
        value, gate = label_map.chunk(2, dim)
        tracer.trace.tie_ratio(label_map)
        if dim in varying(label_map):
            tracer.trace.tie(value, gate)
        label_maps.append(normalized(value))
    tracer.set(out, label_maps)
