"""How well a network tells classes apart: confusion, bars by class, calibration."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lightning_modules.evaluation import ClassRow, Matrix, Reliability
from lightning_modules.reporting.pictures.drawing import (
    BLUE,
    GREY,
    LIGHT,
    PINK,
    RED,
    write_names,
    write_title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW, MANY = 8, 60  # numbers of classes between which cells and letters shrink
LINES = "#dddddd"  # between cells
DARK = 0.55  # ratio of a row from which on a cell's number is white
BAR, MARGINS = 0.3, 1.4  # inches: height of a class, of title and scale
MAX_BARS = 60  # classes that have a bar


def draw_confusion(classes: Sequence[str], matrix: Matrix, *, title: str) -> "Figure":
    """Each cell's colour is its fraction of the true class, its number the count of images.

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
    ratios = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    lines: dict[str, Any] = {"edgecolor": LINES, "linewidth": 0.5} if len(classes) <= MANY else {}
    picture = axes.pcolormesh(edges, edges, ratios, cmap="Blues", vmin=0, vmax=1, **lines)
    axes.set(aspect="equal", xlim=edges[[0, -1]], ylim=edges[[-1, 0]])
    if len(classes) <= MANY:
        _write_counts(axes, counts, ratios, letters)
    every = -(-len(classes) // MANY)
    write_names(axes.xaxis, classes, every=every, rotation=90, fontsize=letters)
    write_names(axes.yaxis, classes, every=every, fontsize=letters)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    write_title(figure, title)
    bar = figure.colorbar(picture, cax=axes.inset_axes((1 + 0.15 / side, 0, 0.18 / side, 1)))
    bar.set_label("fraction of the true class")
    return figure


def _sizes(classes: int) -> tuple[float, float]:
    """Side of a cell in inches, height of letters in points."""
    cell, letters = (np.interp(classes, [FEW, MANY], ends) for ends in ([0.55, 0.27], [10, 7]))
    return float(cell), float(letters)


def _write_counts(axes: "Axes", counts: np.ndarray, ratios: np.ndarray, letters: float) -> None:
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
            color="white" if ratios[row, column] > DARK else "black",
            in_layout=False,  # else the layout measures each of them, which takes seconds
        )


def draw_class_bars(rows: Sequence[ClassRow], *, macro_f1: float, title: str) -> "Figure":
    """A bar of F1 for each class, best first, its precision and recall marked, macro-F1 a line.

    Args:
        rows: one a class, in any order; those of which nothing is known come last, empty.
        macro_f1: of all classes.
        title: above it.
    """
    from matplotlib.figure import Figure

    if len(rows) > MAX_BARS:
        title = f"{title}: the worst {MAX_BARS} of {len(rows)} classes"
    rows = sorted(rows, key=lambda row: -1.0 if row.f1 is None else row.f1, reverse=True)[
        -MAX_BARS:
    ]
    known = [(place, row, row.f1) for place, row in enumerate(rows) if row.f1 is not None]
    places = [place for place, *_ in known]
    figure = Figure(figsize=(6.4, BAR * len(rows) + MARGINS), layout="constrained")
    axes = figure.subplots()
    axes.barh(places, [f1 for *_, f1 in known], color=BLUE, alpha=0.75, label="F1")
    for mark, measure in (("|", "precision"), ("x", "recall")):
        values = [getattr(row, measure) for _, row, _ in known]
        axes.plot(values, places, mark, color="black", markersize=7, label=measure, clip_on=False)
    axes.axvline(macro_f1, color=RED, linestyle="--", linewidth=1, label=f"macro-F1 {macro_f1:.3f}")
    write_names(axes.yaxis, [row.name for row in rows], fontsize=9)
    axes.set(xlim=(0, 1), ylim=(len(rows) - 0.4, -0.6))
    for place, text in [(-0.85, "images"), *enumerate(f"{row.support:,}" for row in rows)]:
        axes.annotate(
            text, (1, place), (6, 0), ("axes fraction", "data"), "offset points",
            va="center", fontsize=8, color=GREY,
        )  # fmt: skip
    write_title(figure, title)
    handles, labels = axes.get_legend_handles_labels()
    order = ("handles", "labels"), (handles[-1:] + handles[:-1], labels[-1:] + labels[:-1])
    style = {"loc": "outside lower center", "ncols": 4, "fontsize": 9, "frameon": False}
    figure.legend(**dict(zip(*order, strict=True)), **style)
    return figure


def draw_reliability(found: Reliability, *, title: str) -> "Figure":
    """Accuracy and the gap to the confidence in each bin; below it how many images it has.

    The reliability diagram of Guo et al. 2017, figure 1.
    """
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
