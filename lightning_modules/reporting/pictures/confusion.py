"""The confusion matrix as a picture."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lightning_modules.evaluation.class_report import Matrix
from lightning_modules.reporting.pictures.drawing import write_names, write_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW, MANY = 8, 60  # numbers of classes between which cells and letters shrink
LINES = "#dddddd"  # between cells
DARK = 0.55  # share of a row from which on a cell's number is white


def draw_confusion(classes: Sequence[str], matrix: Matrix, *, title: str) -> "Figure":
    """Each cell's colour is its share of the true class, its number the count of images.

    Of more than 60 classes some are named, and the cells have no numbers.

    Args:
        classes: their names, in order.
        matrix: images by true class (rows) and predicted class (columns).
        title: above it.
    """
    from matplotlib.figure import Figure

    counts = np.asarray(matrix)
    cell, letters = _sizes(len(classes))
    side = max(cell * min(len(classes), MANY), 2.6)
    figure = Figure(figsize=(side + 2.4, side + 2.2), layout="constrained")
    axes = figure.subplots()
    edges = np.arange(len(classes) + 1) - 0.5
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    lines = {"edgecolor": LINES, "linewidth": 0.5} if len(classes) <= MANY else {}
    picture = axes.pcolormesh(edges, edges, shares, cmap="Blues", vmin=0, vmax=1, **lines)
    axes.set(aspect="equal", xlim=edges[[0, -1]], ylim=edges[[-1, 0]])
    if len(classes) <= MANY:
        _write_counts(axes, counts, shares, letters)
    every = -(-len(classes) // MANY)
    write_names(axes.xaxis, classes, every=every, rotation=90, fontsize=letters)
    write_names(axes.yaxis, classes, every=every, fontsize=letters)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    write_title(figure, title)
    bar = figure.colorbar(picture, cax=axes.inset_axes([1 + 0.15 / side, 0, 0.18 / side, 1]))
    bar.set_label("share of the true class")
    return figure


def _sizes(classes: int) -> tuple[float, float]:
    """Side of a cell in inches, height of letters in points."""
    cell, letters = (np.interp(classes, [FEW, MANY], ends) for ends in ([0.55, 0.27], [10, 7]))
    return float(cell), float(letters)


def _write_counts(axes: "Axes", counts: np.ndarray, shares: np.ndarray, letters: float) -> None:
    """Zeros stay empty, so that one sees the others."""
    for row, column in np.argwhere(counts):
        count = int(counts[row, column])
        axes.text(
            column,
            row,
            str(count) if count < 10_000 else f"{count / 1000:.0f}k",
            ha="center",
            va="center",
            fontsize=letters if count < 1000 else 0.75 * letters,
            color="white" if shares[row, column] > DARK else "black",
            in_layout=False,  # else the layout measures each of them, which takes seconds
        )
