"""The reliability diagram (Guo et al. 2017, figure 1): accuracy over confidence."""

from typing import TYPE_CHECKING

import numpy as np

from lightning_modules.evaluation.calibration import Reliability
from lightning_modules.reporting.pictures.drawing import BLUE, GREY, LIGHT, PINK, write_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_reliability(found: Reliability, *, title: str) -> "Figure":
    """Accuracy and the gap to the confidence in each bin; below it how many images it has."""
    from matplotlib.figure import Figure

    counts, accuracy, confidence = (
        part.numpy() for part in (found.counts, found.accuracy, found.confidence)
    )
    bins = len(counts)
    left, filled = np.arange(bins) / bins, counts > 0
    figure = Figure(figsize=(4.8, 5.6), layout="constrained")
    above, below = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    # A bin of accuracy 0.8 and confidence 0.7 is blue up to 0.7 and light blue up to 0.8.
    place = {"width": 1 / bins, "align": "edge", "edgecolor": "white", "linewidth": 0.8}
    above.bar(left, accuracy, color=BLUE, label="accuracy", **place)
    gap = np.where(filled, confidence - accuracy, 0)
    over, under = np.maximum(gap, 0), np.maximum(-gap, 0)
    above.bar(left, over, bottom=accuracy, color=PINK, label="too confident", **place)
    above.bar(left, under, bottom=confidence, color=LIGHT, label="not confident enough", **place)
    above.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1, label="confidence = accuracy")
    above.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    write_title(figure, title, f"expected calibration error {found.error:.3f}")
    below.bar(left, counts, color=GREY, **place)
    below.set(xlabel="confidence (probability of the predicted class)", ylabel="images")
    figure.legend(loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    return figure
