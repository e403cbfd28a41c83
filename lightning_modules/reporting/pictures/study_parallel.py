"""A study's trials as lines through their parameters."""

from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

import numpy as np

from lightning_modules.reporting.pictures.drawing import shortened, without_common, write_title
from lightning_modules.runs import as_text
from lightning_modules.schema import is_number

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_parallel(
    columns: Mapping[str, Sequence[Any]],
    values: Sequence[float],
    *,
    logarithmic: Set[str],
    objective: str,
    lower: bool,
    title: str,
) -> "Figure":
    """A line for each trial; the better it is, the darker, and the last to be drawn.

    Args:
        columns: each parameter's values, trial by trial; None where a trial lacks it.
        values: of the objective.
        logarithmic: parameters whose axis is logarithmic.
        objective: its name.
        lower: whether less is better.
        title: above it.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(6.0, 1.15 * len(columns) + 2), 4.6), layout="constrained")
    axes = figure.subplots()
    scaled = [_scaled(column, name in logarithmic) for name, column in columns.items()]
    scale = Normalize(min(values), max(values))
    shades = colormaps["Blues_r" if lower else "Blues"]
    order = np.argsort(values)
    for trial in order[::-1] if lower else order:
        line = [heights[trial] for heights, _ in scaled]
        axes.plot(range(len(line)), line, "-o", color=shades(0.15 + 0.85 * scale(values[trial])),
                  linewidth=1.2, markersize=3)  # fmt: skip
    for place, (_, ticks) in enumerate(scaled):
        axes.axvline(place, color="black", linewidth=0.6)
        for height, text in ticks:
            axes.annotate(
                shortened(text, 16), (place, height), (4, 0), textcoords="offset points",
                fontsize=7, va="center", parse_math=False,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6},
            )  # fmt: skip
    short, common = without_common(list(columns))
    names = [shortened(name) for name in short]
    axes.set_xticks(range(len(names)), names, rotation=20, ha="right", fontsize=8)
    axes.set(yticks=[], ylim=(-0.05, 1.05), xlim=(-0.2, len(names) - 0.4))
    bar = figure.colorbar(ScalarMappable(scale, shades), ax=axes)
    bar.set_label(f"{objective} ({'lower' if lower else 'higher'} is better)")
    write_title(figure, f"{title} ({common[:-1]})" if common else title)
    return figure


def _scaled(column: Sequence[Any], logarithmic: bool) -> tuple[list[float], list[tuple]]:
    """Heights in 0..1 (NaN where there is no value), and ticks as (height, text)."""
    known = [value for value in column if value is not None]
    if all(map(is_number, known)):
        change = np.log if logarithmic else np.asarray
        low, high = change(min(known)), change(max(known))
        span = float(high - low) or 1.0
        heights = [np.nan if v is None else float((change(v) - low) / span) for v in column]
        return heights, [
            (0.0, _short(min(known))),
            (float((high - low) / span), _short(max(known))),
        ]
    names = sorted({as_text(value) for value in known})
    places = {name: n / max(len(names) - 1, 1) for n, name in enumerate(names)}
    heights = [np.nan if v is None else places[as_text(v)] for v in column]
    return heights, [(place, name) for name, place in places.items()]


def _short(value: float) -> str:
    return f"{value:.3g}"
