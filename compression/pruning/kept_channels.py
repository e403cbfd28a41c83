"""Which channels of a network those of a smaller one are."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from compression.pruning.channel_group import Signature
from compression.pruning.channel_groups import Channels
from compression.pruning.trace import Key


class ChannelMismatchError(Exception):
    """The smaller network has more channels of some signature than there were."""

    def __init__(self, signatures: list[Signature]) -> None:
        super().__init__(f"{len(signatures)} kinds of channels do not fit")
        self.signatures = signatures


def match_kept_channels(
    whole: Channels, smaller: Channels, scores: np.ndarray, heads: Mapping[str, int]
) -> dict[Key, list[int]]:
    """For every axis of the smaller network, the index in the whole one at each position.

    The smaller network has been traced itself, so that each of its channels is known by where it
    occurs, however its operators deal channels out. It takes the place of the best channel of
    the same signature.

    Args:
        whole: channels of the network before.
        smaller: channels of the same network with smaller sizes.
        scores: of the channels of `whole`, by their numbers.
        heads: how many an attention module is to keep; one fewer than `smaller` has where that is
            one.

    Raises:
        ChannelMismatchError: no such assignment exists.
    """
    twin: dict[int, int] = {}
    misfits = []
    for kind, numbers in smaller.members.items():
        before = whole.members.get(kind, [])
        if len(before) < len(numbers) or (kind[1] and len(before) != len(numbers)):
            misfits.append(kind[0])
            continue
        best = np.argsort(-scores[before], kind="stable")[: len(numbers)]
        twin.update(zip(numbers, (before[i] for i in sorted(best)), strict=True))
    lost = [key for key in whole.of_key if key not in smaller.of_key]
    misfits += [whole.signatures[c] for key in lost for c in whole.of_key[key][:1].tolist()]
    if misfits:
        raise ChannelMismatchError(misfits)
    for name, found in smaller.heads.items():
        if surplus := len(found) - heads[name]:
            for number in sorted(found.tolist(), key=lambda c: scores[twin[c]])[:surplus]:
                del twin[number]
    return {key: _indices(key, whole, smaller, twin) for key in smaller.of_key}


def _indices(key: Key, whole: Channels, smaller: Channels, twin: dict[int, int]) -> list[int]:
    places: dict[int, list[int]] = defaultdict(list)
    for position, channel in enumerate(whole.of_key[key].tolist()):
        places[channel].append(position)
    met: dict[int, int] = defaultdict(int)
    found = []
    for channel in smaller.of_key[key].tolist():
        if channel not in twin:  # a head more than are kept
            continue
        found.append(places[twin[channel]][met[channel]])
        met[channel] += 1
    return found
