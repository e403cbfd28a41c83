"""The importance of a study's parameters as a picture."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lightning_modules.reporting.pictures.drawing import (
    BLUE,
    without_common,
    write_names,
    write_title,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 20  # parameters that are shown


def draw_importances(shares: Mapping[str, float], *, objective: str, title: str) -> "Figure":
    """A bar for each parameter, the most important first.

    Args:
        shares: of the objective's variance, by parameter.
        objective: its name.
        title: above it.
    """
    from matplotlib.figure import Figure

    names = list(shares)[:MOST]
    figure = Figure(figsize=(6.8, 0.28 * len(names) + 1.3), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(range(len(names)), [shares[name] for name in names], color=BLUE)
    axes.bar_label(bars, fmt="{:.2f}", padding=3, fontsize=8)
    short, common = without_common(names)
    write_names(axes.yaxis, short, fontsize=9)
    axes.set(xlim=(0, 1), ylim=(len(names) - 0.4, -0.6))
    axes.set_xlabel(f"share of the variance of {objective} that it explains alone")
    write_title(figure, f"{title} ({common[:-1]})" if common else title)
    return figure
