"""From a trace to groups: channels that can only be taken out in proportion to each other."""

from collections import Counter, defaultdict
from math import gcd

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from compression.pruning.channel_group import STAYING, ChannelGroup, Signature, layer_name
from compression.pruning.trace import HEADS, Key, Trace
from compression.pruning.visits import Visits


class Channels:
    """The channels of a traced network.

    A channel is a set of positions on axes that stay or go together, such as an output of a
    convolution, the entries of its BatchNorm and the inputs of what follows. Channels with the
    same signature are interchangeable: any of them may be taken out.

    Attributes:
        trace: what was seen.
        channel: by variable, the number of its channel.
        of_key: for every axis, the number of the channel at each position.
        heads: the numbers of the heads of attention modules that are channels, by module.
        signatures: of every channel that may be taken out.
        members: the channels of each signature, in order of their first position.
        groups: what can be decided on.
        frozen: channels that must stay.
        why: they must, in words, by channel; only where that is news.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.why: dict[int, str] = {}
        self.channel = channel = _components(trace)
        explained = np.zeros(len(channel), dtype=bool)
        for variables in trace.explained:
            explained[channel[variables]] = True
        frozen = ~explained
        for variables, why in trace.frozen:
            frozen[channel[variables]] = True
            for number in np.unique(channel[variables]).tolist() if why else ():
                self.why.setdefault(number, why)
        self.of_key = {
            key: channel[first : first + size]
            for key, (first, size) in trace.keys.items()
            if key[1] != HEADS and explained[channel[first : first + size]].any()
        }
        first_head = {name: trace.keys[name, HEADS][0] for name in trace.heads}
        self.heads = {
            name: channel[first : first + trace.heads[name]] for name, first in first_head.items()
        }
        self._unused_axes()
        self._visits = Visits.of(trace, channel)
        self.signatures = self._signatures()
        self.frozen = {c for c in self.signatures if frozen[c]}
        self.members: dict[tuple[Signature, bool], list[int]] = defaultdict(list)
        for number, signature in self.signatures.items():
            self.members[signature, number in self.frozen].append(number)
        self.groups = self._groups()

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
        sums = self._visits.sums(self.trace.variables)
        return {c: Signature(tuple(found), int(sums[c])) for c, found in places.items()}

    def _groups(self) -> list[ChannelGroup]:
        together = _Sets()
        for key, count in self.trace.groups.items():
            if count > 1 and key in self.of_key:
                together.unite([self.signatures[c] for c in self.of_key[key].tolist()])
        for variables in self.trace.tied_ratios:
            numbers = {int(c) for c in self.channel[variables[variables > 0]]}
            found = [self.signatures[c] for c in numbers if c in self.signatures]
            if 0 in variables:  # some that are dealt out must stay
                found.append(STAYING)
            together.unite(found)
        fixed = {together.find(self.signatures[c]) for c in self.frozen}
        fixed.add(together.find(STAYING))
        sets: dict[Signature, list[Signature]] = defaultdict(list)
        for signature, frozen in self.members:
            if not frozen:
                sets[together.find(signature)].append(signature)
        members = [[c for s in kinds for c in self.members[s, False]] for kinds in sets.values()]
        counts = self._visits.common_divisors(members, self.trace.variables)
        groups = []
        for root, own, divisor in zip(sets, members, counts, strict=True):
            group = self._group(tuple(sets[root]), divisor)
            if root in fixed:
                self.why |= dict.fromkeys(own, "dealt out together with channels that stay")
            elif group.granularity == 1:
                self.why |= dict.fromkeys(own, "dealt out in numbers without a common divisor")
            else:
                groups.append(group)
        return groups

    def left_alone(self) -> dict[str, str]:
        """Why layers can lose none of what they make, by name; only where that is news."""
        found = {}
        free = {c for g in self.groups for s in g.signatures for c in self.members[s, False]}
        for name, variables in self.trace.produced.items():
            made = self.channel[variables].tolist()
            reasons = [self.why[c] for c in made if c in self.why]
            if reasons and free.isdisjoint(made):
                found[layer_name(name)] = reasons[0]
        return found

    def _group(self, signatures: tuple[Signature, ...], divisor: int) -> ChannelGroup:
        axis_counts: dict[Key, Counter[int]] = defaultdict(Counter)
        for signature in signatures:
            for key, run in signature.places:
                axis_counts[key][run] += len(self.members[signature, False])
        counts = (n for per_run in axis_counts.values() for n in per_run.values())
        makers = [key for key in axis_counts if key[1] == 0 and len(self.trace.shapes[key[0]]) > 1]
        maker = max(makers or axis_counts, key=lambda key: axis_counts[key].total())[0]
        granularity = gcd(divisor, *counts)
        own = {c for signature in signatures for c in self.members[signature, False]}
        found = {name: len(own.intersection(every.tolist())) for name, every in self.heads.items()}
        heads = {name: count for name, count in found.items() if count}
        for name, count in heads.items():
            axis_counts[name, 0][0] = count
        return ChannelGroup(layer_name(maker), dict(axis_counts), granularity, signatures, heads)


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
