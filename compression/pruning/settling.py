"""Sizes in which a network works: what was chosen is tried out, and what fails is struck off."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from compression.errors import CompressionError
from compression.pruning.channel_groups import ChannelGroup, Channels
from compression.pruning.feasibility import Rehearsal
from compression.pruning.sizing import Sizing
from compression.pruning.survivors import Mismatch, survivors
from compression.pruning.trace import Key, trace_channels

ATTEMPTS = 40

Choice = tuple[dict[int, int], str]  # steps of each group, and how they were chosen
Settled = tuple[dict[int, int], dict[Key, list[int]], str]  # with what survives on every axis


@dataclass(frozen=True)
class Ground:
    """A network as pruning sees it.

    Attributes:
        channels: of it.
        scores: importance of each channel, by its number.
        rehearsal: has the groups of layers, and tries sizes out.
        free: numbers of the groups that can be cut.
        left: why others cannot, by name.
    """

    channels: Channels
    scores: np.ndarray
    rehearsal: Rehearsal
    free: list[int]
    left: dict[str, str]


def settle(
    ground: Ground, choose: Callable[[Sizing], Choice], *, attempts: int = ATTEMPTS
) -> Settled:
    """Sizes in which the network works and all of its channels are known again.

    Args:
        ground: of the network; stays as it is.
        choose: steps of each group out of what a sizing allows, and how they were chosen. Asked
            again with less allowed where the network fails.
        attempts: how often it is asked.

    Returns:
        The steps, the indices that survive on every axis, and how the steps were chosen.

    Raises:
        CompressionError: there are no such sizes.
    """
    rehearsal, offences = ground.rehearsal.copy(), Counter()
    sizing = rehearsal.sizing
    for _ in range(attempts):
        steps, report = choose(sizing)
        place = rehearsal.failing_module(steps)
        if place is not None:
            inside = [n for n, g in enumerate(sizing.groups) if _in(g, place)]
            _forbid(sizing, steps, inside, offences)
            continue
        smaller = Channels(trace_channels(rehearsal.smaller(steps), rehearsal.image_size))
        try:
            return steps, survivors(ground.channels, smaller, ground.scores), report
        except Mismatch as mismatch:
            keys = {key for signature in mismatch.signatures for key, _ in signature}
            touched = [n for n, g in enumerate(sizing.groups) if keys & g.cells.keys()]
            _forbid(sizing, steps, touched, offences)
    raise CompressionError(
        "prune found no sizes in which this network works; name the layers that deal channels "
        "out in ignore."
    )


def _forbid(
    sizing: Sizing, steps: Mapping[int, int], numbers: Sequence[int], offences: Counter[int]
) -> None:
    """These sizes do not work for these groups; those that are dealt out are to blame first.

    Such a group may try two other sizes: some numbers can be dealt out, others cannot.
    """
    cut = [n for n in numbers if steps[n] < sizing.groups[n].steps]
    cut = cut or [n for n in steps if steps[n] < sizing.groups[n].steps]
    dealt = [n for n in cut if len(sizing.groups[n].signatures) > 1]
    offences.update(dealt or cut)
    for number in dealt or cut:
        left = [k for k in sizing.allowed[number] if k != steps[number]]
        again = number in dealt and offences[number] < 3
        sizing.allowed[number] = left if again else [sizing.groups[number].steps]


def _in(group: ChannelGroup, place: str) -> bool:
    return any(name.startswith(f"{place}." if place else "") for name, _ in group.cells)
