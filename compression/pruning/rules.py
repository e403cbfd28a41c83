"""How the operators of PyTorch pass channels on: the list of rules, and the commonest one."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from compression.pruning.labels import aligned, reshaped, varying
from compression.pruning.trace import Tracer

Rule = Callable[[Tracer, dict[str, Any], Any], None]  # (tracer, call by argument name, result)
RULES: dict[str, Rule] = {}


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
    for tensor in tensors_of(out):
        if tensor.shape == first.shape:
            tracer.set(tensor, list(joined.values()), weight)


def tensors_of(out: Any) -> list[Tensor]:
    """The tensors among what an operator gave back."""
    return [t for t in (out if isinstance(out, list | tuple) else [out]) if isinstance(t, Tensor)]


def first_of(out: Any) -> Tensor:
    """The first of them."""
    return tensors_of(out)[0]
