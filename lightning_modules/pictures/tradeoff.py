"""F1 against latency: which of several networks are worth their time."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from lightning_modules.pictures.drawing import BLUE, GREY, LIGHT, shortened, write_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Point(NamedTuple):
    """One network in one backend."""

    name: str
    latency_ms: float
    f1: float


def front(points: Sequence[Point]) -> list[Point]:
    """Those that no other beats: faster ones are worse, better ones slower; the fastest first."""
    best, found = float("-inf"), []
    for point in sorted(points, key=lambda p: (p.latency_ms, -p.f1)):
        if point.f1 > best:
            best = point.f1
            found.append(point)
    return found


def draw_tradeoff(points: Sequence[Point], *, title: str, under: str) -> "Figure":
    """A dot for each, a line through those that no other beats.

    Args:
        points: at least one.
        title: above the picture.
        under: how the latency was measured.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.8), layout="constrained")
    axes = figure.subplots()
    line = front(points)
    axes.step(
        [p.latency_ms for p in line], [p.f1 for p in line], where="post", color=LIGHT, zorder=1
    )
    for point in points:
        color = BLUE if point in line else GREY
        axes.scatter(point.latency_ms, point.f1, color=color, s=36, zorder=2)
        axes.annotate(
            shortened(point.name, 40),
            (point.latency_ms, point.f1),
            xytext=(5, 4),
            textcoords="offset points",
            fontsize=8,
            color=color,
            parse_math=False,
        )
    if max(p.latency_ms for p in points) > 5 * min(p.latency_ms for p in points):
        axes.set_xscale("log")
    axes.margins(x=0.25, y=0.12)
    axes.set(xlabel="latency of one image, ms (median)", ylabel="macro-F1")
    axes.grid(color="#eeeeee")
    write_title(figure, title, under)
    return figure
