"""All pictures of a study, from plain data, in its folder."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lightning_modules.evaluation import macs_score
from lightning_modules.reporting.pictures.drawing import (
    BLUE,
    FOLDER,
    GREY,
    LIGHT,
    RED,
    fonts,
    save,
    without_common,
    write_names,
    write_title,
)
from lightning_modules.reporting.pictures.study_front import draw_front
from lightning_modules.reporting.pictures.study_importance import importances
from lightning_modules.reporting.pictures.study_parallel import draw_parallel
from lightning_modules.reporting.study_trials import TrialRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_AXES = 10  # parameters of the parallel coordinates
MAX_BARS = 20  # parameters whose importance is shown


@dataclass(frozen=True)
class StudyPlots:
    """What the pictures of one study show.

    Attributes:
        name: of the study.
        objectives: their names.
        lower: whether less is better, of each objective.
        records: its trials, by number.
        categorical: parameters that were chosen from a list.
        logarithmic: parameters that were drawn by their logarithm.
        winner: number of the trial that won; None without one.
        score: constants of `score/macs`.
    """

    name: str
    objectives: Sequence[str]
    lower: Sequence[bool]
    records: Sequence[TrialRecord]
    categorical: frozenset[str]
    logarithmic: frozenset[str]
    winner: int | None
    score: Mapping[str, float]

    @functools.cached_property
    def trials(self) -> list[TrialRecord]:
        """Those that have a value and met the limits."""
        return [one for one in self.records if one.state in ("finished", "stopped")]

    @functools.cached_property
    def importances(self) -> list[dict[str, float]]:
        """Of each objective, its parameters' fractions of variance, largest first."""
        places = range(len(self.objectives))
        return [importances(self.trials, self.categorical, place) for place in places]


def draw_study(study: StudyPlots, folder: Path) -> list[Path]:
    """Draws what a person looks at; returns the files, none for fewer than two trials.

    Args:
        study: what is drawn.
        folder: of the study; the pictures go to its `figures/`.

    Raises:
        ConfigError: a picture cannot be written.
    """
    if len(study.trials) < 2:
        return []
    drawn = {}
    with fonts():
        for place, name in enumerate(study.objectives):
            suffix = "" if len(study.objectives) == 1 else "_" + name.replace("/", "_")
            drawn[f"history{suffix}"] = _history(study, place)
            if study.importances[place]:
                drawn[f"importance{suffix}"] = draw_importances(
                    study.importances[place], objective=name, title=f"{study.name}: parameters"
                )
            drawn[f"parallel{suffix}"] = _parallel(study, place)
        if (front := _front(study)) is not None:
            drawn["front"] = front
        return [save(figure, folder / FOLDER / f"{k}.png") for k, figure in drawn.items()]


def _history(study: StudyPlots, place: int) -> "Figure":
    return draw_history(
        [(t.number, t.values[place], t.stopped_after is not None) for t in study.trials],
        [trial.number for trial in study.records if trial.state in ("failed", "refused")],
        objective=study.objectives[place],
        lower=study.lower[place],
        title=f"{study.name}: {len(study.trials)} trials with a value",
    )


def _parallel(study: StudyPlots, place: int) -> "Figure":
    params = list(dict.fromkeys(key for trial in study.trials for key in trial.params))
    chosen = (list(study.importances[place]) or params)[:MAX_AXES]
    return draw_parallel(
        {key: [trial.params.get(key) for trial in study.trials] for key in chosen},
        [trial.values[place] for trial in study.trials],
        logarithmic=study.logarithmic & set(chosen),
        objective=study.objectives[place],
        lower=study.lower[place],
        title=f"{study.name}: the {len(chosen)} parameters that matter most",
    )


def _front(study: StudyPlots) -> "Figure | None":
    """F1 over MACs as the score counts them; else the first two objectives."""
    names, lower = study.objectives, study.lower
    known = [trial for trial in study.trials if {"val/f1", "score/macs"} <= set(trial.metrics)]
    points: list[tuple[float, float]]
    height: Callable[[float, float], float] | None = None
    if len(known) >= 2 and (len(names) == 1 or set(names) <= {"val/f1", "cost/macs", "score/macs"}):
        points = [_macs_and_f1(trial.metrics, study.score) for trial in known]
        labels, better = ("MACs of one image, by the 2021 count", "val/f1"), (True, False)

        def height(macs: float, f1: float) -> float:
            return macs_score(f1=min(max(f1, 0.0), 1.0), macs=max(macs, 0.0), **study.score)

    elif len(names) > 1:
        known, points = list(study.trials), [(t.values[1], t.values[0]) for t in study.trials]
        labels, better = (names[1], names[0]), (lower[1], lower[0])
    else:
        return None
    numbers = [trial.number for trial in known]
    return draw_front(
        points,
        labels=labels,
        lower=better,
        winner=numbers.index(study.winner) if study.winner in numbers else None,
        score=height,
        title=f"{study.name}: accuracy and cost",
    )


def _macs_and_f1(metrics: Mapping[str, float], score: Mapping[str, float]) -> tuple[int, float]:
    """The MACs that the score saw: what is left of it without the penalty for F1.

    A whole number: networks of equal cost stand above each other.
    """
    f1 = metrics["val/f1"]
    penalty = macs_score(f1=f1, macs=0.0, **score)
    return round((metrics["score/macs"] - penalty) * score["reference_macs"]), f1


def draw_history(
    points: Sequence[tuple[int, float, bool]],
    without: Sequence[int],
    *,
    objective: str,
    lower: bool,
    title: str,
) -> "Figure":
    """Each trial's value, and the best so far; trials without a value are ticks below.

    Args:
        points: trial number, value, whether it was stopped early.
        without: numbers of trials that failed or were over the limits.
        objective: its name.
        lower: whether less is better.
        title: above it.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    for early, color, label in ((False, BLUE, "trial"), (True, LIGHT, "stopped early")):
        chosen = [(number, value) for number, value, stopped in points if stopped == early]
        if chosen:
            axes.plot(*zip(*chosen, strict=True), "o", color=color, label=label, markersize=5)
    numbers, values, _ = zip(*points, strict=True)
    best = (np.minimum if lower else np.maximum).accumulate(values)
    axes.step(numbers, best, where="post", color=RED, label="best so far")
    if without:
        axes.plot(
            without, [0.02] * len(without), "|", color=GREY, markersize=9,
            label="failed or refused", transform=axes.get_xaxis_transform(),
        )  # fmt: skip
    axes.set(xlabel="trial", ylabel=f"{objective} ({'lower' if lower else 'higher'} is better)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    write_title(figure, title)
    figure.legend(loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    return figure


def draw_importances(ratios: Mapping[str, float], *, objective: str, title: str) -> "Figure":
    """A bar for each parameter, the most important first.

    Args:
        ratios: of the objective's variance, by parameter.
        objective: its name.
        title: above it.
    """
    from matplotlib.figure import Figure

    names = list(ratios)[:MAX_BARS]
    figure = Figure(figsize=(6.8, 0.28 * len(names) + 1.3), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(range(len(names)), [ratios[name] for name in names], color=BLUE)
    axes.bar_label(bars, fmt="{:.2f}", padding=3, fontsize=8)
    short, common = without_common(names)
    write_names(axes.yaxis, short, fontsize=9)
    axes.set(xlim=(0, 1), ylim=(len(names) - 0.4, -0.6))
    axes.set_xlabel(f"fraction of the variance of {objective} that it explains alone")
    write_title(figure, f"{title} ({common[:-1]})" if common else title)
    return figure
