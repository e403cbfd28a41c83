"""Which operators channels enter: those that enter others are not interchangeable."""

from math import gcd
from typing import NamedTuple

import numpy as np

from compression.pruning.trace import Trace


class Visits(NamedTuple):
    """Which channels enter which operators: pairs, each once.

    Attributes:
        operators: the number that stands for the operator, uint64.
        channels: the number of the channel.
    """

    operators: np.ndarray
    channels: np.ndarray

    @classmethod
    def of(cls, trace: Trace, channel: np.ndarray) -> "Visits":
        """Those of a trace; `channel` is the number of the channel of every variable."""
        numbers = np.array([visit for visit, _ in trace.visits], dtype=np.uint64)
        operators, index = np.unique(numbers, return_inverse=True)
        lengths = [len(variables) for _, variables in trace.visits]
        variables = np.concatenate([np.zeros(0, dtype=np.int64), *(v for _, v in trace.visits)])
        pairs = np.unique(np.repeat(index, lengths) * len(channel) + channel[variables])
        return cls(operators[pairs // len(channel)], pairs % len(channel))

    def sums(self, size: int) -> np.ndarray:
        """By channel, the sum of the numbers of its operators; `size` of them, uint64."""
        found = np.zeros(size, dtype=np.uint64)
        np.add.at(found, self.channels, self.operators)
        return found

    def common_divisors(self, members: list[list[int]], size: int) -> list[int]:
        """By group, what divides the numbers of its channels that enter each operator.

        Of channels that go different ways, so many go from each.

        Args:
            members: the channels of each group.
            size: above all channels.
        """
        group = np.full(size, -1)
        for number, own in enumerate(members):
            group[own] = number
        found = [0] * len(members)
        mine = group[self.channels]
        operators = np.unique(self.operators, return_inverse=True)[1]
        pairs = operators[mine >= 0] * len(members) + mine[mine >= 0]
        for pair, count in zip(*np.unique(pairs, return_counts=True), strict=True):
            number = int(pair) % len(members)
            found[number] = gcd(found[number], int(count))
        return found
