"""Whose tensor is whose: the names in a weights file, and those of the network."""

import re
from collections.abc import Collection, Mapping

from torch import Tensor

# What training programs put before the names, or a network of one's own around a known one.
PREFIXES = "module|_orig_mod|model|net|network|backbone|student|body|ema_model|averaged_model"
PREFIX = re.compile(rf"^(?:{PREFIXES})\.")
# The last part of a name that other libraries use for the same kind of tensor.
KINDS = {
    "gamma": "weight",
    "kernel": "weight",
    "w": "weight",
    "beta": "bias",
    "b": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
COUNTER = "num_batches_tracked"  # older files lack it, and it holds no weight
IN_ORDER = "; named otherwise there, taken in order"


def own_names(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], head: Collection[str]
) -> tuple[dict[str, Tensor], str]:
    """The tensors of a file under the network's names where they are found, and how in words.

    Names are taken as they are, without the prefixes of training programs, or behind the one part
    that all names of the network begin with. Where that leaves tensors without a name, those of the
    file stand for those of the network in their order, if number, kind and shape of all agree; a
    head may be of another size.

    Args:
        state: of the file.
        wanted: of the network.
        head: the network's names of tensors that may have another shape.
    """
    firsts = sorted({name.partition(".")[0] for name in wanted})
    renamings = [_named(state, wanted, first) for first in (None, *firsts)]
    best = max(renamings, key=lambda names: sum(name in wanted for name in names.values()))
    found = {best[key]: tensor for key, tensor in state.items()}
    if {name for name in wanted if name not in head and not _counts(name)} <= found.keys():
        return found, ""
    in_order = _in_order(state, wanted, head)
    known = {key: name for key, name in best.items() if name in wanted}
    if in_order is None or any(in_order.get(key, name) != name for key, name in known.items()):
        return found, ""
    return {name: state[key] for key, name in in_order.items()}, IN_ORDER


def _named(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], first: str | None
) -> dict[str, str]:
    """Each name of a file with what is left of it, behind `first` where that finds it."""
    names = {}
    for key in state:
        shorter = _without_prefixes(key)
        behind = [] if first is None else [f"{first}.{name}" for name in shorter]
        fitting = (name for name in (*shorter, *behind) if name in wanted)
        names[key] = next(fitting, shorter[-1])
    return names


def _without_prefixes(key: str) -> list[str]:
    """The name, and what is left of it after each prefix."""
    found = [key]
    while (match := PREFIX.match(found[-1])) is not None:
        found.append(found[-1][match.end() :])
    return found


def _in_order(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], head: Collection[str]
) -> dict[str, str] | None:
    """The network's name of each tensor of a file that agrees in all but names."""
    theirs, ours = ([name for name in names if not _counts(name)] for names in (state, wanted))
    if len(theirs) != len(ours):
        return None
    for their, our in zip(theirs, ours, strict=True):
        same_shape = state[their].shape == wanted[our].shape or our in head
        if not same_shape or _kind(their) != _kind(our):
            return None
    pairs = dict(zip(theirs, ours, strict=True))
    counters = [[name for name in names if _counts(name)] for names in (state, wanted)]
    if len(counters[0]) == len(counters[1]):
        pairs |= dict(zip(*counters, strict=True))
    return pairs


def _counts(name: str) -> bool:
    return name.endswith(COUNTER)


def _kind(name: str) -> str:
    last = name.rpartition(".")[2]
    return KINDS.get(last, last)
