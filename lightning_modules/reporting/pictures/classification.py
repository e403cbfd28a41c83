"""F1, precision and recall of each class as a picture."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightning_modules.evaluation.class_report import ClassRow
from lightning_modules.reporting.pictures.drawing import BLUE, GREY, RED, write_names, write_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINE, MARGINS = 0.3, 1.4  # inches: height of a class, of title and scale
MOST = 60  # classes that are shown


def draw_class_bars(rows: Sequence[ClassRow], *, macro_f1: float, title: str) -> "Figure":
    """A bar of F1 for each class, best first, its precision and recall marked, macro-F1 a line.

    Args:
        rows: one a class, in any order; those of which nothing is known come last, empty.
        macro_f1: of all classes.
        title: above it.
    """
    from matplotlib.figure import Figure

    if len(rows) > MOST:
        title = f"{title}: the worst {MOST} of {len(rows)} classes"
    rows = sorted(rows, key=lambda row: -1.0 if row.f1 is None else row.f1, reverse=True)[-MOST:]
    known = [(place, row) for place, row in enumerate(rows) if row.f1 is not None]
    places = [place for place, _ in known]
    figure = Figure(figsize=(6.4, LINE * len(rows) + MARGINS), layout="constrained")
    axes = figure.subplots()
    axes.barh(places, [row.f1 for _, row in known], color=BLUE, alpha=0.75, label="F1")
    for mark, measure in (("|", "precision"), ("x", "recall")):
        values = [getattr(row, measure) for _, row in known]
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
