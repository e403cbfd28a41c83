"""The scores of an importance before there are any: which channels it will know of."""

from collections.abc import Iterable

import numpy as np
from torch import nn

from compression.context import Context
from compression.pruning.channel_groups import Channels
from compression.pruning.importance import Importance
from compression.pruning.trace import Key


class AnyScore(Importance):
    """Drawn scores for all channels that another importance will know of, none for others.

    Args:
        importance: the other one; what it cannot say of a network without values, it will know.
    """

    normalized = False

    def __init__(self, importance: Importance) -> None:
        self.importance = importance
        self.name = importance.name  # type: ignore[misc]  # in sentences

    def score(
        self, network: nn.Module, channels: Channels, context: Context, round: int
    ) -> np.ndarray:
        """By number of the channel, in 0..1; NaN where the importance says nothing."""
        drawn = np.random.default_rng((context.seed, round)).random(channels.trace.variables)
        known = np.zeros(len(drawn), bool)
        for key in self._axes(network, channels, context):
            known[channels.of_key[key]] = True
        return np.where(known, drawn, np.nan)

    def _axes(self, network: nn.Module, channels: Channels, context: Context) -> Iterable[Key]:
        try:
            said = self.importance.slices(network, channels, context)
            return [key for key in said if key in channels.of_key]
        except Exception:  # it scores channels at once, or wants data or values
            return channels.of_key
