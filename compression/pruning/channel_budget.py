"""How many channels each group keeps, and what the network then costs: by arithmetic alone."""

import copy
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from math import gcd, lcm

import torch
from torch import nn

from compression.cost import data_bytes, saved_bytes
from compression.pruning.channel_group import ChannelGroup, united
from compression.pruning.channel_groups import Channels
from compression.pruning.trace import IN, Key

Counts = Mapping[int, int]  # by number of the group, how many of its equal parts it keeps


class ChannelBudget:
    """Sizes and costs of a network under every choice.

    Args:
        network: whose parameters count.
        channels: of it.
        groups: that may be cut.
        round_to: widths are multiples of it, or of a half, a quarter... where a group is narrower
            than four of them.
        min_ratio: of its channels that every group keeps.

    Attributes:
        names: of the groups; of several that one layer makes, all but the first are numbered.
        tensors: names of those whose shapes depend on the groups.
    """

    def __init__(
        self,
        network: nn.Module,
        channels: Channels,
        groups: Sequence[ChannelGroup],
        *,
        round_to: int,
        min_ratio: float,
    ) -> None:
        self.trace = channels.trace
        self._round_to, self._min_ratio = round_to, min_ratio
        self._set_groups(groups)
        parameters = dict(network.named_parameters())
        self._counted = {name for name in self.tensors if name in parameters}
        self._other_params = sum(p.numel() for n, p in parameters.items() if n not in self._counted)
        self._element_bytes = _element_bytes(network, self.tensors)
        self._other_bytes = data_bytes(network) - sum(
            self._bytes(name, self.trace.shapes[name]) for name in self.tensors
        )
        self._other_macs = self.trace.other_macs + sum(
            macs for name, macs in self.trace.macs.items() if name not in self.tensors
        )

    def _set_groups(self, groups: Sequence[ChannelGroup]) -> None:
        self.groups = list(groups)
        self.names = _numbered([group.name for group in groups])
        self.allowed = [_allowed(group, self._round_to, self._min_ratio) for group in groups]
        self._parts: dict[Key, list[tuple[int, int]]] = defaultdict(list)
        for number, group in enumerate(groups):
            for key, per_run in group.axis_counts.items():
                self._parts[key].append((number, per_run.total()))
        self.tensors = {name for name, _ in self._parts}

    def united(self, sets: Sequence[Sequence[int]]) -> tuple["ChannelBudget", dict[int, int]]:
        """The same with groups that keep one ratio as one group, in the place of the first of them.

        Args:
            sets: numbers of groups; no group is in two of them.

        Returns:
            It, and by number of a group here the number of the one there that has its channels.
        """
        first = {n: min(together) for together in sets for n in together}
        roots = [n for n in range(len(self.groups)) if first.get(n, n) == n]
        members = {root: [root] for root in roots}
        for n in sorted(first.keys() - members.keys()):
            members[first[n]].append(n)
        twin = copy.copy(self)
        twin._set_groups([united([self.groups[n] for n in members[root]]) for root in roots])
        return twin, {n: number for number, root in enumerate(roots) for n in members[root]}

    def whole(self) -> dict[int, int]:
        """Everything is kept."""
        return {number: group.granularity for number, group in enumerate(self.groups)}

    def nearest(self, number: int, ratio: float) -> int:
        """The allowed number of parts nearest to a ratio of the group."""
        wanted = ratio * self.groups[number].granularity
        return min(self.allowed[number], key=lambda k: (abs(k - wanted), -k))

    def count_to_try(self, number: int, digit: int = 0) -> int:
        """A count of parts, by a digit of the group's number to the base of 4.

        As some code wants two ratios to be equal, any two groups get unlike ones by some digit.
        """
        below = [k for k in self.allowed[number] if k < self.groups[number].granularity]
        ratio = (0.5, 0.75, 0.6, 0.35)[number >> 2 * digit & 3]
        wanted = ratio * self.groups[number].granularity
        return min(below, key=lambda k: abs(k - wanted))

    @property
    def digits(self) -> int:
        """How many digits the numbers of the groups have, to the base of 4."""
        return max(1, (len(self.groups) - 1).bit_length() + 1 >> 1)

    def copy(self) -> "ChannelBudget":
        """The same; what is allowed can be changed without changing it here."""
        twin = copy.copy(self)
        twin.allowed = list(self.allowed)
        return twin

    def layers(self, counts: Counts) -> list[tuple[str, int, int]]:
        """Of each group its name and its channels, left and before."""
        return [
            (name, group.width * counts[n] // group.granularity, group.width)
            for n, (name, group) in enumerate(zip(self.names, self.groups, strict=True))
        ]

    def without_coarse(self) -> "ChannelBudget":
        """The same, with all groups whole that can only be cut by much."""
        twin = copy.copy(self)
        twin.allowed = [
            [group.granularity] if group.coarse else allowed
            for group, allowed in zip(self.groups, self.allowed, strict=True)
        ]
        return twin

    def shapes(self, counts: Counts) -> dict[str, torch.Size]:
        """The shapes of all tensors that change."""
        tensors = self.tensors - self.trace.heads.keys()
        found = {name: self.shape(name, counts) for name in tensors}
        return {name: shape for name, shape in found.items() if shape != self.trace.shapes[name]}

    def heads(self, counts: Counts) -> dict[str, int]:
        """How many heads are left of the attention modules of which whole heads go."""
        return {name: self.shape(name, counts)[0] for name in self.trace.heads}

    def cost(self, counts: Counts, measure: str) -> int:
        """MACs of one image, parameters or bytes of the whole network."""
        price, others = self.price(measure)
        return others + sum(price(name, self.shape(name, counts)) for name in self.tensors)

    def price(self, measure: str) -> tuple[Callable[[str, torch.Size], int], int]:
        """MACs, parameters or bytes of a tensor of `tensors` in a shape, and those of all else."""
        if measure == "file_bytes":
            return self._bytes, self._other_bytes
        if measure == "params":
            return self._params, self._other_params
        return self._macs, self._other_macs

    def _params(self, name: str, shape: torch.Size) -> int:
        return shape.numel() if name in self._counted else 0

    def _bytes(self, name: str, shape: torch.Size) -> int:
        return self._element_bytes.get(name, 0) * shape.numel()

    def _macs(self, name: str, shape: torch.Size) -> int:
        return self.trace.macs[name] * shape.numel() // self.trace.shapes[name].numel()

    def shape(self, name: str, counts: Counts) -> torch.Size:
        """Of a tensor."""
        shape = list(self.trace.shapes[name])
        for axis in range(len(shape)):
            if axis == 1 and (name, IN) in self._parts:
                shape[1] -= self._loss((name, IN), counts) // self.trace.groups[name, IN]
            elif (name, axis) in self._parts:
                shape[axis] -= self._loss((name, axis), counts)
        return torch.Size(shape)

    def _loss(self, key: Key, counts: Counts) -> int:
        """How many positions of an axis go."""
        lost = 0
        for number, count in self._parts[key]:
            whole = self.groups[number].granularity
            lost += count - count * counts.get(number, whole) // whole
        return lost


def _element_bytes(network: nn.Module, names: Set[str]) -> dict[str, int]:
    """What an element of each tensor takes when saved; more where layers share it."""
    state = network.state_dict(keep_vars=True)
    shared: dict[int, list[str]] = defaultdict(list)
    for name, tensor in state.items():
        shared[id(tensor)].append(name)
    found = {}
    for together in shared.values():
        known = [name for name in together if name in names]
        for number, name in enumerate(known):
            times = 1 if number else 1 + len(together) - len(known)
            found[name] = times * saved_bytes(state[name].flatten()[:1])
    return found


def _numbered(names: Sequence[str]) -> list[str]:
    met: Counter[str] = Counter()
    found = []
    for name in names:
        met[name] += 1
        found.append(name if met[name] == 1 else f"{name} ({met[name]})")
    return found


def _allowed(group: ChannelGroup, round_to: int, min_ratio: float) -> list[int]:
    """The numbers of parts that a group may keep, ascending; all of them is always one."""
    unit = group.width // gcd(group.granularity, group.width)
    multiple = 1 if group.heads else round_to
    while multiple > 1 and 4 * lcm(multiple, unit) > group.width:
        multiple = (multiple + 1) // 2
    widths = {k: k * group.width // group.granularity for k in range(1, group.granularity + 1)}
    fitting = [
        k for k, n in widths.items() if n % multiple == 0 and k >= min_ratio * group.granularity
    ]
    return sorted({*fitting, group.granularity})
