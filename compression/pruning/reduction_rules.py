"""How operators that sum over dimensions, or compare along one, pass channels on."""

from typing import Any

from torch import Tensor

from compression.pruning.labels import reshaped, varying
from compression.pruning.rules import join, rule, tensors_of
from compression.pruning.trace import variables_of
from compression.pruning.tracer import Mean, Tracer

SUMS = ("sum", "linalg_vector_norm", "norm")
MEANS = ("mean", "var", "std", "var_mean", "std_mean")
EXTREMES = ("max", "min", "amax", "amin", "logsumexp")


@rule(*SUMS)
def _sum(tracer: Tracer, call: dict[str, Any], out: Any) -> None:
    """Channels that are 0 do not count: a sum over the others is the same."""
    why = f"its channels are summed in {tracer.at} where those left out would not be 0"
    zeros = not tracer.filled(_source(call)) and call.get("ord", call.get("p", 2)) != 0
    _reduce(tracer, call, out, why, exact=True if zeros else None)


@rule(*MEANS)
def _mean(tracer: Tracer, call: dict[str, Any], out: Any) -> None:
    _reduce(tracer, call, out, f"its channels are mixed by a mean in {tracer.at}", exact=False)


@rule(*EXTREMES)
def _extreme(tracer: Tracer, call: dict[str, Any], out: Any) -> None:
    _reduce(tracer, call, out, f"its channels are compared in {tracer.at}")


@rule("_softmax", "_log_softmax", "_safe_softmax", "cumsum")
def _along(tracer: Tracer, call: dict[str, Any], out: Tensor) -> None:
    source, dim = call["self"], call["dim"] % out.ndim
    for label_map in tracer.label_maps(source):
        if dim in varying(label_map):
            tracer.trace.freeze(label_map, f"its channels are compared in {tracer.at}")
    join(tracer, [source], out)


def _source(call: dict[str, Any]) -> Tensor:
    return call["self"] if "self" in call else call["x"]


def _reduce(
    tracer: Tracer, call: dict[str, Any], out: Any, why: str, *, exact: bool | None = None
) -> None:
    """Take dimensions out of the labels.

    Args:
        tracer: knows them.
        call: arguments by name.
        out: what came out.
        why: channels that all go into one number must stay, in words.
        exact: whether they need not, as with a sum; None where nothing can make up for it.
    """
    source = _source(call)
    dims = call.get("dim")
    dims = [dims] if isinstance(dims, int) else dims
    dims = [d % source.ndim for d in dims] if dims else list(range(source.ndim))
    label_maps, means = [], []
    for label_map in tracer.label_maps(source):
        along = varying(label_map) & set(dims)
        if along == varying(label_map):  # over all channels: they are mixed, and no longer channels
            if exact is None:
                tracer.trace.freeze(label_map, why)
            else:
                means.append(Mean(variables_of(label_map), why, exact=exact))
            continue
        for dim in along:  # over channels of several parts, such as the branches of an attention
            firsts = label_map.narrow(dim, 0, 1).expand(label_map.shape)
            tracer.trace.tie(firsts, label_map)
            label_map = firsts
        for dim in dims:
            label_map = label_map.narrow(dim, 0, 1)
        label_maps.append(label_map)
    for tensor in tensors_of(out):
        fitting = [la for la in label_maps if la.numel() <= max(tensor.numel(), 1)]
        # The mean of a weight goes on as one: with it a convolution standardizes itself.
        kept = [reshaped(la, tensor.shape) for la in fitting]
        tracer.set(tensor, kept, tracer.weight(source))
        if means:
            tracer.set_means(tensor, [*tracer.means(tensor), *means])
