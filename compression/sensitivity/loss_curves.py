"""What layers lose at ratios between those that were scanned."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from compression.sensitivity.loss_scan import LossPoint

# Nats that taking all of a layer is thought to cost where the scan sees no loss: of two sizes that
# seem as good the larger one is taken.
PRIOR_LOSS = 1e-5


class LossCurves:
    """The loss of each layer by the ratio of its channels or rank that is kept.

    To second order a divergence is the square of what changed, so that its root is interpolated, by
    straight lines from 0 where all is kept. Nothing is known below the smallest ratio scanned: the
    loss there is infinite.

    Args:
        points: of a scan.
    """

    def __init__(self, points: Sequence[LossPoint]) -> None:
        known: dict[str, dict[float, float]] = defaultdict(dict)
        for point in points:
            known[point.layer][point.kept] = point.loss
        self._curves = {layer: _curve(losses) for layer, losses in known.items()}

    def loss(self, layer: str, kept: float) -> float:
        """Of a layer that keeps this ratio, in 0..1; infinite where nothing was scanned."""
        if kept >= 1:
            return 0.0
        ratios, roots = self._curves.get(layer, ([1.0], [0.0]))
        return float(np.interp(kept, ratios, roots, left=np.inf)) ** 2 + PRIOR_LOSS * (1 - kept)


def _curve(losses: dict[float, float]) -> tuple[list[float], list[float]]:
    """Ratios, ascending to 1, and the roots of losses there, falling to 0.

    Less of a layer is never taken to be better than more of it: that is the chance of few images.
    """
    ratios = sorted(losses, reverse=True)
    roots = np.maximum.accumulate([losses[ratio] ** 0.5 for ratio in ratios])
    return [*ratios[::-1], 1.0], [*roots[::-1].tolist(), 0.0]
