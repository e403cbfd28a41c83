"""From a trace to groups: channels that can only be taken out in proportion to each other."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property
from math import gcd

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from compression.pruning.trace import Key, Trace

# Where a channel occurs: for each axis and each of its runs, how often.
Signature = tuple[tuple[Key, int], ...]


@dataclass(frozen=True)
class ChannelGroup:
    """Channels whose number is one decision.

    Attributes:
        name: of the layer that makes most of them.
        axis_counts: by axis, how many positions of each of its runs are of this group.
        granularity: into how many equal parts it can be cut: k / `granularity` of it for k from 1.
        signatures: of the channels in it.
    """

    name: str
    axis_counts: dict[Key, Counter[int]]
    granularity: int
    signatures: tuple[Signature, ...]

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
        return self.granularity < 4


class Channels:
    """The channels of a traced network.

    A channel is a set of positions on axes that stay or go together, such as an output of a
    convolution, the entries of its BatchNorm and the inputs of what follows. Channels with the
    same signature are interchangeable: any of them may be taken out.

    Attributes:
        trace: what was seen.
        of_key: for every axis, the number of the channel at each position.
        signatures: of every channel that may be taken out.
        members: the channels of each signature, in order of their first position.
        groups: what can be decided on.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        channel = _components(trace)
        frozen = np.zeros(len(channel), dtype=bool)
        for variables in trace.frozen:
            frozen[channel[variables]] = True
        self.of_key = {
            key: channel[first : first + size] for key, (first, size) in trace.keys.items()
        }
        self._unused_axes()
        self.signatures = self._signatures()
        self.frozen = {c for c in self.signatures if frozen[c]}
        self.members: dict[tuple[Signature, bool], list[int]] = defaultdict(list)
        for number, signature in self.signatures.items():
            self.members[signature, number in self.frozen].append(number)
        self.groups = self._groups(channel)

    def _unused_axes(self) -> None:
        """Axis 1 of a grouped convolution stands for one group only; `IN` has all of it."""
        for name, axis in list(self.of_key):
            if axis == "in":
                self.of_key.pop((name, 1), None)

    def _signatures(self) -> dict[int, Signature]:
        places: dict[int, list[tuple[Key, int]]] = defaultdict(list)
        for key, channels in self.of_key.items():
            run = len(channels) // self.trace.groups.get(key, 1)
            for position, channel in enumerate(channels.tolist()):
                places[channel].append((key, position // run))
        return {channel: tuple(found) for channel, found in places.items()}

    def _groups(self, channel: np.ndarray) -> list[ChannelGroup]:
        together = _Sets()
        for key, count in self.trace.groups.items():
            if count > 1 and key in self.of_key:
                together.unite([self.signatures[c] for c in self.of_key[key].tolist()])
        for variables in self.trace.tied_ratios:
            numbers = {int(c) for c in channel[variables[variables > 0]]}
            found = [self.signatures[c] for c in numbers if c in self.signatures]
            if 0 in variables:  # some that are dealt out must stay
                found.append(())
            together.unite(found)
        fixed = {together.find(self.signatures[c]) for c in self.frozen} | {together.find(())}
        sets: dict[Signature, list[Signature]] = defaultdict(list)
        for signature, frozen in self.members:
            if not frozen and together.find(signature) not in fixed:
                sets[together.find(signature)].append(signature)
        groups = (self._group(tuple(found)) for found in sets.values())
        return [group for group in groups if group.granularity > 1]

    def _group(self, signatures: tuple[Signature, ...]) -> ChannelGroup:
        axis_counts: dict[Key, Counter[int]] = defaultdict(Counter)
        for signature in signatures:
            for key, run in signature:
                axis_counts[key][run] += len(self.members[signature, False])
        granularity = gcd(*(n for counts in axis_counts.values() for n in counts.values()))
        makers = [key for key in axis_counts if key[1] == 0 and len(self.trace.shapes[key[0]]) > 1]
        name = max(makers or axis_counts, key=lambda key: axis_counts[key].total())[0].rpartition(
            "."
        )[0]
        return ChannelGroup(name, dict(axis_counts), granularity, signatures)


def _components(trace: Trace) -> np.ndarray:
    """For every variable, the number of its channel."""
    edges = np.concatenate([np.zeros((2, 0), dtype=np.int64), *trace.edges], axis=1)
    graph = coo_array((np.ones(edges.shape[1]), tuple(edges)), shape=(trace.variables,) * 2)
    return connected_components(graph, directed=False)[1]


class _Sets:
    """Disjoint sets of signatures."""

    def __init__(self) -> None:
        self._parent: dict[Signature, Signature] = {}

    def find(self, item: Signature) -> Signature:
        while item in self._parent:
            item = self._parent[item]
        return item

    def unite(self, items: list[Signature]) -> None:
        roots = list(dict.fromkeys(self.find(item) for item in dict.fromkeys(items)))
        for other in roots[1:]:
            self._parent[other] = roots[0]
