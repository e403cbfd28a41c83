"""Ratios of layers out of a sensitivity scan: one bound on the F1 that each may lose alone.

Han et al. 2015, "Learning both Weights and Connections for Efficient Neural Networks", section 5,
set each layer's threshold by its sensitivity; Li et al. 2017, "Pruning Filters for Efficient
ConvNets", section 3.2, spare the sensitive ones. Here this is one number for all layers: a layer
keeps the smallest ratio at which it alone loses no more than the bound, by straight lines between
the points of the scan. Nothing is known below its smallest ratio, so no layer goes there.
"""

from collections import defaultdict

import numpy as np

from compression.sensitivity.sensitivity_scan import Scan

# F1 that taking all of a layer is thought to cost where the scan sees no loss: what one cannot
# measure on some hundred images. So layers that all seem free are cut alike and bit by bit.
PRIOR_DROP = 0.005


class SensitivityCurves:
    """The ratio of each layer at a bound.

    Args:
        scan: of the network.

    Attributes:
        worst: the bound at which every layer is as small as in the scan.
    """

    def __init__(self, scan: Scan) -> None:
        points: dict[str, dict[float, float]] = defaultdict(dict)
        for point in scan.points:
            points[point.layer][point.kept] = scan.lost(point)
        self._curves = {layer: _curve(losses) for layer, losses in points.items()}
        self.worst = max((losses[-1] for losses, _ in self._curves.values()), default=0.0)

    def bound_at(self, parameter: float) -> float:
        """A bound at a setting in 0..1, where 0 is the worst one and 1 leaves all layers whole.

        Squared, so that small bounds, at which largest layers change, are told apart.
        """
        return self.worst * (1 - parameter) ** 2

    def ratio(self, layer: str, bound: float) -> float:
        """Of its channels or rank; 1 for a layer that the scan does not have."""
        if layer not in self._curves:
            return 1.0
        return float(np.interp(bound, *self._curves[layer]))


def _curve(losses: dict[float, float]) -> tuple[list[float], list[float]]:
    """Losses, rising from 0, and the ratios kept there, falling from 1.

    Less of a layer is never taken to be better than more of it: that is the chance of few images.
    """
    rising, ratios, largest = [0.0], [1.0], 0.0
    for ratio in sorted(losses, reverse=True):
        largest = max(largest, losses[ratio])
        rising.append(largest + PRIOR_DROP * (1 - ratio))
        ratios.append(ratio)
    return rising, ratios
