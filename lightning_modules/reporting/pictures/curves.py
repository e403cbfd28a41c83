"""Training curves: losses and validation metrics over all epochs of a run's stages."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lightning_modules.reporting.pictures.drawing import BLUE, GREY, RED, shortened, write_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOSSES = {"train/loss": ("training", BLUE), "val/loss": ("validation", RED)}
METRICS = {"val/f1": ("macro-F1", RED), "val/accuracy": ("accuracy", BLUE)}
Epochs = Sequence[Mapping[str, str]]


def draw_curves(epochs: Epochs, *, title: str) -> "Figure":
    """The losses above, F1 and accuracy on the validation split below; a line begins each stage.

    Args:
        epochs: the rows of `metrics.csv`, at least one; an empty cell was not measured.
        title: above it.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(6.8, 5.6), layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    _draw(above, epochs, LOSSES, "loss")
    _draw(below, epochs, METRICS, "validation")
    for place, name in _beginnings(epochs):
        for axes in (above, below):
            axes.axvline(place - 0.5, color=GREY, linestyle=":", linewidth=1)
        style = {"fontsize": 8, "color": GREY, "parse_math": False, "in_layout": False}
        above.annotate(
            shortened(name), (place - 0.5, 1), (3, 2), ("data", "axes fraction"),
            "offset points", **style,
        )  # fmt: skip
    below.set_xlabel("epoch")
    below.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    write_title(figure, title, "")
    return figure


def _draw(axes: "Axes", epochs: Epochs, curves: dict[str, tuple[str, str]], label: str) -> None:
    for key, (name, color) in curves.items():
        points = [
            (place, float(row[key])) for place, row in enumerate(epochs, start=1) if row.get(key)
        ]
        if points:
            mark = "o" if len(points) == 1 else None
            axes.plot(*zip(*points, strict=True), marker=mark, color=color, lw=1.4, label=name)
    axes.set_ylabel(label)
    axes.grid(color="#eeeeee")
    if axes.lines:
        axes.legend(fontsize=9, frameon=False)


def _beginnings(epochs: Epochs) -> list[tuple[int, str]]:
    """(number of its first epoch, name) of each stage, and of each further round of one."""
    found, last = [], None
    for place, row in enumerate(epochs, start=1):
        stage = row.get("step", ""), row.get("round", "0")
        if stage != last:
            name, turn = stage
            found.append((place, name if turn in ("", "0") else f"round {int(turn) + 1}"))
        last = stage
    return found
