"""What a study's trials reach at which cost: the Pareto front, with the score's contours."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lightning_modules.reporting.pictures.drawing import BLUE, GREY, LIGHT, RED, write_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_front(
    points: Sequence[tuple[float, float]],
    *,
    labels: tuple[str, str],
    lower: tuple[bool, bool],
    winner: int | None,
    score: Callable[[float, float], float] | None,
    title: str,
) -> "Figure":
    """Each trial as a point; those that no other beats in both are joined.

    Args:
        points: (cost, quality) of each trial.
        labels: of both axes.
        lower: whether less is better, of both.
        winner: number of the point that won.
        score: (cost, quality) -> the competition's score, drawn as contours.
        title: above it.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.8, 5.0), layout="constrained")
    axes = figure.subplots()
    front = _front(points, lower)
    x, y = np.array(points, float).T
    axes.plot(x, y, "o", color=LIGHT, markersize=5, label="trial")
    axes.plot(x[front], y[front], "-o", color=BLUE, markersize=6, label="Pareto front")
    if winner is not None:
        axes.plot(x[winner], y[winner], "*", color=RED, markersize=14, label="winner")
    _limit(axes, x, y)
    if score is not None:
        _contours(axes, score)
    words = ["lower is better" if low else "higher is better" for low in lower]
    axes.set(xlabel=f"{labels[0]} ({words[0]})", ylabel=f"{labels[1]} ({words[1]})")
    write_title(figure, title)
    figure.legend(loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    return figure


def _front(points: Sequence[tuple[float, float]], lower: tuple[bool, bool]) -> list[int]:
    """Numbers of the points that none dominates, along the first axis."""
    signs = [1 if low else -1 for low in lower]
    costs = [tuple(sign * value for sign, value in zip(signs, p, strict=True)) for p in points]
    best = [
        number
        for number, (a, b) in enumerate(costs)
        if not any((c, d) != (a, b) and c <= a and d <= b for c, d in costs)
    ]
    return sorted(best, key=lambda number: points[number])


def _limit(axes: "Axes", x: np.ndarray, y: np.ndarray) -> None:
    """Room around the points; ten times their spread is no scale for a line."""
    if x.min() > 0 and x.max() / x.min() > 10:
        axes.set_xscale("log")
    if x.max() >= 1000 and axes.get_xscale() == "linear":
        axes.xaxis.set_major_formatter("{x:,.0f}")
    for low, high, limit in ((x.min(), x.max(), axes.set_xlim), (y.min(), y.max(), axes.set_ylim)):
        room = 0.06 * (high - low) or 0.06 * abs(high) or 1.0
        limit(low - min(room, 0.5 * low if low > 0 else room), high + room)


def _contours(axes: "Axes", score: Callable[[float, float], float]) -> None:
    x = np.linspace(*axes.get_xlim(), 120)
    y = np.linspace(*axes.get_ylim(), 120)
    heights = np.array([[score(cost, quality) for cost in x] for quality in y])
    lines = axes.contour(x, y, heights, levels=8, colors=GREY, linewidths=0.7, alpha=0.7)
    axes.clabel(lines, fontsize=7, fmt="%.3g")
    axes.plot([], [], color=GREY, linewidth=0.7, label="equal score/macs")
