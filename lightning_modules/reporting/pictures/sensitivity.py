"""A sensitivity scan as a picture: F1 lost by each layer beside the MACs that it saves."""

from itertools import takewhile
from typing import TYPE_CHECKING

from compression.sensitivity import Point, Scan
from lightning_modules.reporting.pictures.drawing import GREY, LIGHT, write_names, write_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TICKS = (-0.1, -0.05, 0, 0.05, 0.1, 0.2, 0.4, 0.8)  # where losses are drawn by their logarithm
LINE, MARGINS = 0.24, 1.6  # inches: height of a layer, of title, scale and legend
MAX_LAYERS = 60  # layers that are shown
LETTERS = 40  # of a layer's name
FINE = 0.1  # F1 lost that is drawn to scale; more is drawn by its logarithm


def draw_sensitivity(scan: Scan, *, title: str) -> "Figure":
    """A row for each layer in the network's order: dots of F1 lost, and bars of MACs saved.

    Args:
        scan: with at least one point.
        title: above it.
    """
    from matplotlib.figure import Figure

    layers = _layers(scan)
    ratios = sorted({point.ratio for points in layers.values() for point in points})
    under = f"macro-F1 {scan.f1:.3f} and {scan.macs:,} MACs before; each layer treated alone"
    if len(layers) < len({point.layer for point in scan.points}):
        under += f"; the {MAX_LAYERS} that save most"
    figure = Figure(figsize=(9, LINE * len(layers) + MARGINS), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for place, points in enumerate(layers.values()):
        losses = [scan.lost(point) for point in points]
        left.plot([min(losses), max(losses)], [place, place], color=LIGHT, linewidth=1, zorder=1)
    for number, ratio in enumerate(ratios):
        _draw_ratio(left, right, scan, layers, ratio, _color(number, len(ratios)))
    left.axvline(0, color=GREY, linewidth=0.8, zorder=0)
    write_names(left.yaxis, _without_home(list(layers)), longest=LETTERS, fontsize=8)
    left.set(xlabel="macro-F1 lost", ylim=(len(layers) - 0.4, -0.6))
    _spread(left, [scan.lost(point) for points in layers.values() for point in points])
    right.set(xlabel="MACs saved, % of the network's")
    right.tick_params(left=False)
    for axes in (left, right):
        axes.grid(axis="x", color="#eeeeee", zorder=-1)
        axes.set_axisbelow(True)
    write_title(figure, title, under)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, fontsize=9, frameon=False)
    return figure


def _layers(scan: Scan) -> dict[str, list[Point]]:
    """The points by layer, in the network's order; of too many layers those that save most."""
    found: dict[str, list[Point]] = {}
    for point in scan.points:
        found.setdefault(point.layer, []).append(point)
    saved = {name: max(map(scan.saved, points)) for name, points in found.items()}
    shown = set(sorted(saved, key=lambda name: saved[name], reverse=True)[:MAX_LAYERS])
    return {name: points for name, points in found.items() if name in shown}


def _without_home(names: list[str]) -> list[str]:
    """The names without the modules that all of the layers lie in."""
    paths = [name.split(".") for name in names]
    shared = takewhile(
        lambda parts: len(set(parts)) == 1, zip(*(p[:-1] for p in paths), strict=False)
    )
    home = len(list(shared))
    return [".".join(path[home:]) for path in paths]


def _spread(axes: "Axes", losses: list[float]) -> None:
    """Where one layer loses much, small losses still get most of the room."""
    low, high = min(0.0, *losses) - 0.01, 1.2 * max(losses)
    if high > 3 * FINE:
        axes.set_xscale("symlog", linthresh=FINE, linscale=1)
        ticks = [tick for tick in TICKS if low <= tick <= high]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xlim(low, high)


def _draw_ratio(
    left: "Axes",
    right: "Axes",
    scan: Scan,
    layers: dict[str, list[Point]],
    ratio: float,
    color: tuple[float, ...],
) -> None:
    own = [
        (place, point)
        for place, points in enumerate(layers.values())
        for point in points
        if point.ratio == ratio
    ]
    places = [place for place, _ in own]
    lost = [scan.lost(point) for _, point in own]
    left.scatter(lost, places, color=[color], s=26, zorder=2, label=f"{ratio:g} kept")
    saved = [100 * scan.saved(point) for _, point in own]
    right.barh(places, saved, color=[color], height=0.7)


def _color(number: int, count: int) -> tuple[float, ...]:
    """Dark where little is kept; the bars of more lie on those of less."""
    from matplotlib import colormaps

    return colormaps["viridis"](0.05 + 0.85 * number / max(count - 1, 1))
