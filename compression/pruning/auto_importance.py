"""The importance that the data allows: what the loss would lose where images have labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from compression.context import Context
from compression.pruning.channel_groups import Channels
from compression.pruning.importance import L2, Importance
from compression.pruning.taylor import Taylor


class AutoImportance(Importance):
    """`taylor` where there are labelled training images and all weights are trained, else `l2`."""

    name = "auto"

    @staticmethod
    def choice(network: nn.Module, context: Context) -> Importance:
        """The one that is taken.

        Args:
            network: of which channels are to be scored.
            context: may have training batches; only the first one is looked at.
        """
        # A frozen layer has no gradients: some layers would have scores and others none.
        trained = all(parameter.requires_grad for parameter in network.parameters())
        return Taylor() if trained and _has_labels(context) else L2()

    def score(
        self, network: nn.Module, channels: Channels, context: Context, round: int
    ) -> np.ndarray:
        """See `Importance.score`; those of the one that is taken."""
        return self.choice(network, context).score(network, channels, context, round)


def _has_labels(context: Context) -> bool:
    """Whether the training batches are pairs of images and a class of each."""
    batch: Any = next(iter(context.train_batches()), None) if context.train_batches else None
    if not isinstance(batch, Sequence) or len(batch) < 2:
        return False
    images, labels = batch[:2]
    return (
        isinstance(labels, Tensor)
        and labels.shape == images.shape[:1]
        and not labels.is_floating_point()
        and bool((labels >= 0).all())  # those of images without one are negative
    )
