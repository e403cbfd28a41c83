"""A picture of where a network's MACs are: one labelled bar for each block."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_modules.networks.overview import Row
from lightning_modules.reporting.pictures.drawing import BLUE, fonts, save, write_names, write_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINE, MARGINS = 0.26, 1.3  # inches: height of a row, of title and scale
LETTERS = 60  # of a row's name


def draw_bars(rows: Sequence[Row], *, title: str) -> "Figure":
    """A bar of MACs for each row, with its number and its ratio of all; rows without have none.

    Args:
        rows: in the network's order.
        title: above it.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    rows = [row for row in rows if row.macs]
    macs = [row.macs for row in rows]
    total, longest = max(sum(macs), 1), max([*macs, 1])
    figure = Figure(figsize=(9, LINE * len(rows) + MARGINS), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(range(len(rows)), macs, color=BLUE)
    notes = [f"{count:,}  {count / total:.1%}" for count in macs]
    axes.bar_label(bars, notes, padding=3, fontsize=8)
    names = [f"{row.name}  {row.kind}".strip() for row in rows]
    write_names(axes.yaxis, names, longest=LETTERS, fontsize=8)
    axes.set(xlabel="MACs of one image", xlim=(0, 1.4 * longest), ylim=(len(rows) - 0.4, -0.6))
    axes.xaxis.set_major_formatter(EngFormatter())  # 30 M
    write_title(figure, title)
    return figure


def save_bars(rows: Sequence[Row], path: str | Path, *, title: str) -> Path:
    """Writes the picture of `draw_bars` to `path`, in the format of its suffix.

    Raises:
        ConfigError: no picture format has that suffix, or the folder cannot be written to.
    """
    with fonts():
        return save(draw_bars(rows, title=title), Path(path))
