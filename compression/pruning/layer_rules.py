"""How operators with weights, and products of two tensors, pass channels on."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from compression.pruning.labels import varying
from compression.pruning.rules import first_of, join, rule
from compression.pruning.trace import IN, variables_of
from compression.pruning.tracer import Tracer, sum_of

BATCH_NORMS = ("native_batch_norm", "_native_batch_norm_legit", "cudnn_batch_norm",
               "_native_batch_norm_legit_no_training", "_batch_norm_no_update")  # fmt: skip


@rule("convolution")
def _convolution(tracer: Tracer, call: dict[str, Any], out: Tensor) -> None:
    x, w, bias, groups = call["input"], call["weight"], call["bias"], call["groups"]
    name, trace = tracer.weight(w), tracer.trace
    macs = (x if call["transposed"] else out).shape[2:].numel() * w.numel()
    shared = w.shape[1] == 1 == w.stride(0) + 1 and groups == x.shape[1] == out.shape[1]
    if name is None:
        trace.other_macs += macs
        if not shared:
            return tracer.freeze_unknown_op("convolution", [x, w, bias])
    else:
        trace.macs[name] += macs
    outer, inner = (1, 0) if call["transposed"] else (0, 1)
    for label_map in tracer.label_maps(w):  # a window is no channel
        if varying(label_map) not in ({outer}, {inner}):
            trace.freeze(label_map)
    if x.shape[1] == 1 and any(varying(label_map) != {1} for label_map in tracer.label_maps(x)):
        # Along the channels, as in ECA: each has neighbours of its own.
        why = f"its channels are mixed by a convolution along them in {tracer.at}"
        for label_map in tracer.label_maps(x):
            trace.freeze(label_map, why)
    incoming = _channel_labels(tracer, x)
    produced = _axis_labels(tracer, w, outer)
    why = f"its channels enter a convolution of a fixed width in {tracer.at}"
    if shared and not produced.any():  # one kernel for all channels, however many there are
        produced = incoming
    elif groups == 1:
        trace.tie(_axis_labels(tracer, w, inner), incoming, why)
    elif w.shape[1] == 1:  # every group is a channel: they are cut together
        # Of a transposed one, axis 0 has them all.
        produced = _axis_labels(tracer, w, 0)
        trace.tie(produced, incoming.repeat_interleave(len(produced) // len(incoming)), why)
    elif call["transposed"] or name is None or trace.shapes[name] != w.shape:
        return tracer.freeze_unknown_op("a convolution with groups", [x, w, bias])
    else:
        trace.tie(trace.key(name, IN, len(incoming)), incoming, why)
        trace.groups[name, IN] = trace.groups[name, 0] = groups
        trace.explain([trace.key(name, IN, len(incoming))])
    trace.explain([produced, incoming, _axis_labels(tracer, w, inner)])
    if name is not None:
        trace.produced.setdefault(name, variables_of(produced))
    shape = (1, -1) + (1,) * (out.ndim - 2)
    if bias is not None:
        trace.tie(_axis_labels(tracer, bias, 0), produced)
    return tracer.set(out, [produced.reshape(shape).expand(out.shape)])


def _axis_labels(tracer: Tracer, tensor: Tensor, axis: int) -> Tensor:
    """The labels along one axis of a weight; zeros where it has none, or is one long."""
    found = [la for la in tracer.label_maps(tensor) if varying(la) == {axis}]
    if not found:
        return torch.zeros(tensor.shape[axis], dtype=torch.int64)
    return found[0].movedim(axis, 0).reshape(tensor.shape[axis], -1)[:, 0]


def _channel_labels(tracer: Tracer, x: Tensor) -> Tensor:
    """The labels of the channels of a map; other maps cannot pass a convolution."""
    found = torch.zeros(x.shape[1], dtype=torch.int64)
    for label_map in tracer.label_maps(x):
        if varying(label_map) == {1}:
            found = label_map.movedim(1, 0).reshape(x.shape[1], -1)[:, 0]
        else:
            why = f"its channels lie along more than one axis in the convolution of {tracer.at}"
            tracer.trace.freeze(label_map, why)
    return found


@rule(*BATCH_NORMS)
def _batch_norm(tracer: Tracer, call: dict[str, Any], out: Any) -> None:
    x = call["input"]
    found = [call.get(n) for n in ("weight", "bias", "running_mean", "running_var")]
    own = [tensor for tensor in found if tensor is not None]
    along = (x.shape[1],) + (1,) * (x.ndim - 2)
    join(tracer, [x, *own], first_of(out), [x.shape, *([along] * len(own))])


@rule("native_layer_norm")
def _layer_norm(tracer: Tracer, call: dict[str, Any], out: Any) -> None:
    own = [call[n] for n in ("input", "weight", "bias") if call.get(n) is not None]
    join(tracer, own, first_of(out))


@rule("native_group_norm")
def _group_norm(tracer: Tracer, call: dict[str, Any], out: Any) -> None:
    x, weight = call["input"], call["weight"]
    if call["group"] > 1:
        name = None if weight is None else tracer.weight(weight)
        if name is None:
            return tracer.freeze_unknown_op("group_norm without weights", [x])
        tracer.trace.groups[name, 0] = call["group"]
    own = [call[n] for n in ("weight", "bias") if call.get(n) is not None]
    along = (x.shape[1],) + (1,) * (x.ndim - 2)
    return join(tracer, [x, *own], first_of(out), [x.shape, *([along] * len(own))])


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
    tracer.set(twin, tracer.label_maps(out))
    join(tracer, [twin, bias], out)


def _product(tracer: Tracer, a: Tensor, b: Tensor, out: Tensor) -> None:
    """... x n x k times ... x k x m: k is summed over, n and m go on."""
    name = tracer.weight(a) or tracer.weight(b)
    k_of_a, k_of_b = a.ndim - 1, b.ndim - 2
    kept, summed_a = _sorted_out(tracer, a, k_of_a)
    kept_b, summed_b = _sorted_out(tracer, b, k_of_b)
    attention = _tie_heads(tracer, a, kept, b, kept_b)
    macs = out.numel() * a.shape[-1]
    if name is not None:
        tracer.trace.macs[name] += macs
    elif attention is not None:
        tracer.trace.macs[attention] += macs
    else:
        tracer.trace.other_macs += macs
    zeros = torch.zeros((), dtype=torch.int64)
    flat_a = summed_a.narrow(k_of_a - 1, 0, 1).squeeze(-2) if summed_a is not None else None
    flat_b = summed_b.narrow(k_of_b + 1, 0, 1).squeeze(-1) if summed_b is not None else None
    why = f"its channels enter a product of a fixed width in {tracer.at}"
    if flat_a is not None:
        tracer.trace.tie(flat_a, zeros.expand(flat_a.shape) if flat_b is None else flat_b, why)
    elif flat_b is not None:
        tracer.trace.tie(zeros.expand(flat_b.shape), flat_b, why)
    if summed_a is not None and summed_b is not None and tracer.filled(a) and tracer.filled(b):
        why = f"its channels are summed in {tracer.at} where none of them is 0"
        tracer.trace.freeze(summed_a, why)
    tracer.trace.explain([*tracer.label_maps(a), *tracer.label_maps(b)])
    if name is None:  # scaled by the width of queries and keys, perhaps
        sums = [sum_of(found) for found in (summed_a, summed_b) if found is not None]
        tracer.set_means(out, sums)
    if a.ndim == 3:
        _tell_heads_apart(tracer, a, b)
    for tensor, own in ((a, kept), (b, kept_b)):
        weight = tracer.weight(tensor)
        if weight is not None and own:
            tracer.trace.produced.setdefault(weight, variables_of(own[0]))
    label_maps = [label_map.narrow(k_of_a, 0, 1).expand(out.shape) for label_map in kept]
    label_maps += [label_map.narrow(k_of_b, 0, 1).expand(out.shape) for label_map in kept_b]
    tracer.set(out, label_maps)


def _tie_heads(
    tracer: Tracer, a: Tensor, maps_of_a: list[Tensor], b: Tensor, maps_of_b: list[Tensor]
) -> str | None:
    """Products head by head: both factors are of the same one.

    Args:
        tracer: knows the labels.
        a: one factor, heads x n x k.
        maps_of_a: that do not vary along what is summed over.
        b: the other one.
        maps_of_b: likewise; what both factors have is taken out of these.

    Returns:
        The name of the attention module; None where heads are not what is multiplied one by one.
    """
    if a.ndim < 3:
        return None
    own, other = (
        next((m for m in maps if varying(m) == {0} and tracer.attention(m)), None)
        for maps in (maps_of_a, maps_of_b)
    )
    if own is not None and other is not None:
        tracer.trace.tie(own[:, 0, 0], other[:, 0, 0])
        maps_of_b[:] = [label_map for label_map in maps_of_b if label_map is not other]
    for heads, without in ((own, b), (other, a)):
        if heads is not None and (own is None or other is None) and without.stride(0):
            why = f"its channels meet a tensor of a size of its own in {tracer.at}"
            tracer.trace.freeze(heads, why)
    return next((tracer.attention(heads) for heads in (own, other) if heads is not None), None)


def _tell_heads_apart(tracer: Tracer, *factors: Tensor) -> None:
    """Products one by one along an axis, as of attention heads: no channel goes to another one.

    Where a head is one channel, all of them go the same way.
    """
    for number, factor in enumerate(factors):
        for label_map in tracer.label_maps(factor):
            if 0 in varying(label_map) and not tracer.attention(label_map):
                rows = label_map.reshape(len(factor), -1).numpy()
                found, at = np.unique(rows, return_index=True)
                tracer.visit_parts("heads", number, found, at // rows.shape[1])


def _sorted_out(tracer: Tracer, tensor: Tensor, k: int) -> tuple[list[Tensor], Tensor | None]:
    """Layers that do not vary along k, and the one that does."""
    free = 2 * tensor.ndim - 3 - k  # the other one of the last two dimensions
    kept, summed = [], None
    for label_map in tracer.label_maps(tensor):
        if k not in varying(label_map):
            kept.append(label_map)
        elif free in varying(label_map) or summed is not None:
            why = f"its channels are multiplied with each other in {tracer.at}"
            tracer.trace.freeze(label_map, why)
        else:
            summed = label_map
    return kept, summed
