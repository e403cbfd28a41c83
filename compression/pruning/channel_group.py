"""Channels of a network whose number is one decision."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import gcd
from typing import NamedTuple

from compression.pruning.trace import Key


class Signature(NamedTuple):
    """What tells a channel from others that are not interchangeable with it.

    Attributes:
        places: each position where it occurs, as an axis and the run of it.
        visits: the operators that it enters, as one number.
    """

    places: tuple[tuple[Key, int], ...]
    visits: int = 0


STAYING = Signature(())  # stands for channels that must stay


@dataclass(frozen=True)
class ChannelGroup:
    """Channels whose number is one decision.

    Attributes:
        name: of the layer that makes most of them.
        axis_counts: by axis, how many positions of each of its runs are of this group.
        granularity: into how many equal parts it can be cut: k / `granularity` of it for k from 1.
        signatures: of the channels in it.
        heads: by attention module whose heads are channels of it, how many of them.
    """

    name: str
    axis_counts: dict[Key, Counter[int]]
    granularity: int
    signatures: tuple[Signature, ...]
    heads: Mapping[str, int]

    @cached_property
    def width(self) -> int:
        """How many channels the layer that names the group makes of it."""
        made = [
            n.total() for (name, _), n in self.axis_counts.items() if name == f"{self.name}.weight"
        ]
        return max(made or [n.total() for n in self.axis_counts.values()])

    @property
    def coarse(self) -> bool:
        """Whether the smallest cut takes more than a quarter, as layers of odd sizes hang on it."""
        return self.granularity < 4 and not self.heads

    def inside(self, module: str) -> frozenset[str]:
        """Which tensors inside a module it reaches, named from there, with their axes."""
        prefix = f"{module}." if module else ""
        return frozenset(
            f"{name.removeprefix(prefix)}:{axis}"
            for name, axis in self.axis_counts
            if name.startswith(prefix)
        )


def united(groups: Sequence[ChannelGroup]) -> ChannelGroup:
    """One group of the channels of several, named after the first."""
    axis_counts: dict[Key, Counter[int]] = defaultdict(Counter)
    for group in groups:
        for key, per_run in group.axis_counts.items():
            axis_counts[key].update(per_run)
    granularity = gcd(*(group.granularity for group in groups))
    signatures = tuple(signature for group in groups for signature in group.signatures)
    heads: Counter[str] = Counter()
    for group in groups:
        heads.update(group.heads)
    return ChannelGroup(groups[0].name, dict(axis_counts), granularity, signatures, dict(heads))


def layer_name(tensor: str) -> str:
    """The layer that a tensor belongs to; the tensor itself where it is the network's own."""
    return tensor.rpartition(".")[0] or tensor
