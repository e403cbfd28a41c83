"""The history of a study as a picture."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lightning_modules.reporting.pictures.drawing import BLUE, GREY, LIGHT, RED, write_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_history(
    points: Sequence[tuple[int, float, bool]],
    without: Sequence[int],
    *,
    objective: str,
    lower: bool,
    title: str,
) -> "Figure":
    """Each trial's value, and the best so far; trials without a value are ticks below.

    Args:
        points: trial number, value, whether it was stopped early.
        without: numbers of trials that failed or were over the limits.
        objective: its name.
        lower: whether less is better.
        title: above it.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    for early, colour, label in ((False, BLUE, "trial"), (True, LIGHT, "stopped early")):
        chosen = [(number, value) for number, value, stopped in points if stopped == early]
        if chosen:
            axes.plot(*zip(*chosen, strict=True), "o", color=colour, label=label, markersize=5)
    numbers, values, _ = zip(*points, strict=True)
    best = (np.minimum if lower else np.maximum).accumulate(values)
    axes.step(numbers, best, where="post", color=RED, label="best so far")
    if without:
        axes.plot(
            without, [0.02] * len(without), "|", color=GREY, markersize=9,
            label="failed or refused", transform=axes.get_xaxis_transform(),
        )  # fmt: skip
    axes.set(xlabel="trial", ylabel=f"{objective} ({'lower' if lower else 'higher'} is better)")
    axes.xaxis.get_major_locator().set_params(integer=True)
    write_title(figure, title)
    figure.legend(loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    return figure
