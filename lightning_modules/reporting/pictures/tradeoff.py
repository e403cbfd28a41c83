"""F1 against what a network costs: which of several are worth it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from lightning_modules.reporting.pictures.drawing import BLUE, GREY, LIGHT, shortened, write_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


LATENCY = "latency of one image, ms (median)"
WIDE, HIGH = 180, 13  # pixels that a name takes


class Point(NamedTuple):
    """One network, maybe in one of several backends; its cost in the unit of the picture."""

    name: str
    cost: float
    f1: float


def front(points: Sequence[Point]) -> list[Point]:
    """Those that no other beats: cheaper ones are worse, better ones dearer; cheapest first."""
    best, found = float("-inf"), []
    for point in sorted(points, key=lambda p: (p.cost, -p.f1)):
        if point.f1 > best:
            best = point.f1
            found.append(point)
    return found


def draw_tradeoff(
    points: Sequence[Point], *, title: str, under: str, cost: str = LATENCY
) -> "Figure":
    """A dot for each, named where there is room, a line through those that no other beats.

    Args:
        points: at least one.
        title: above the picture.
        under: how the cost was measured.
        cost: what is on the first axis.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    figure = Figure(figsize=(7.2, 4.8), layout="constrained")
    axes = figure.subplots()
    line = front(points)
    axes.step([p.cost for p in line], [p.f1 for p in line], where="post", color=LIGHT, zorder=1)
    for point in points:
        color = BLUE if point in line else GREY
        axes.scatter(point.cost, point.f1, color=color, s=36, zorder=2)
    if max(p.cost for p in points) > 5 * min(p.cost for p in points):
        axes.set_xscale("log")
    elif max(p.cost for p in points) >= 1000:
        axes.xaxis.set_major_formatter(EngFormatter())  # 30 M
    axes.margins(x=0.25, y=0.12)
    axes.set(xlabel=cost, ylabel="macro-F1")
    axes.grid(color="#eeeeee")
    write_title(figure, title, under)
    _write_names(axes, points, line)
    return figure


def _write_names(axes: "Axes", points: Sequence[Point], line: Sequence[Point]) -> None:
    """Beside the points, those of the line first; where there is no room, a point has none."""
    taken: list[tuple[float, float]] = []
    for point in [*line, *(p for p in points if p not in line)]:
        x, y = axes.transData.transform((point.cost, point.f1))  # pixels
        if any(abs(x - a) < WIDE and abs(y - b) < HIGH for a, b in taken):
            continue
        taken.append((x, y))
        axes.annotate(
            shortened(point.name, 40),
            (point.cost, point.f1),
            xytext=(5, 4),
            textcoords="offset points",
            fontsize=8,
            color=BLUE if point in line else GREY,
            parse_math=False,
        )
