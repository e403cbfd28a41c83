"""All pictures of a study, in its folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from lightning_modules.evaluation.score import macs_score
from lightning_modules.reporting.pictures.drawing import fonts, save
from lightning_modules.reporting.pictures.study_front import draw_front
from lightning_modules.reporting.pictures.study_history import draw_history
from lightning_modules.reporting.pictures.study_importance import draw_importances
from lightning_modules.reporting.pictures.study_parallel import draw_parallel
from lightning_modules.search.importance import importances
from lightning_modules.search.progress_line import feasible
from lightning_modules.search.record import FIGURES, PRUNED, RETIRED
from lightning_modules.search.winner import winners

FOLDER = "figures"
AXES = 10  # parameters of the parallel coordinates


def draw_study(study: optuna.Study, folder: Path, score: dict[str, Any]) -> list[Path]:
    """Draws what a person looks at; returns the files, none for fewer than two values.

    Args:
        study: with at least one value.
        folder: of the study; the pictures go to its `figures/`.
        score: constants of `score/macs`.
    """
    names = study.user_attrs["objectives"]
    lower = [direction.name == "MINIMIZE" for direction in study.directions]
    good = feasible(study.get_trials(deepcopy=False))
    if len(good) < 2:
        return []
    drawn = {}
    with fonts():
        for place, name in enumerate(names):
            suffix = "" if len(names) == 1 else "_" + name.replace("/", "_")
            drawn[f"history{suffix}"] = _history(study, good, place, name, lower[place])
            shares = importances(good, place)
            if shares:
                drawn[f"importance{suffix}"] = draw_importances(
                    shares, objective=name, title=f"{study.study_name}: parameters"
                )
            drawn[f"parallel{suffix}"] = _parallel(study, good, place, name, lower[place], shares)
        if (front := _front(study, good, names, lower, score)) is not None:
            drawn["front"] = front
        return [save(figure, folder / FOLDER / f"{k}.png") for k, figure in drawn.items()]


def _history(study: optuna.Study, good: list, place: int, name: str, lower: bool) -> Any:
    points = [(t.number, t.values[place], PRUNED in t.user_attrs) for t in good]
    known = {trial.number for trial in good}
    done = [t for t in study.get_trials(deepcopy=False) if t.state.is_finished()]
    without = [t.number for t in done if t.number not in known and RETIRED not in t.user_attrs]
    title = f"{study.study_name}: {len(points)} trials with a value"
    return draw_history(points, without, objective=name, lower=lower, title=title)


def _parallel(
    study: optuna.Study, good: list, place: int, name: str, lower: bool, shares: dict[str, float]
) -> Any:
    params = list(shares) or list(dict.fromkeys(key for t in good for key in t.params))
    chosen = params[:AXES]
    columns = {key: [trial.params.get(key) for trial in good] for key in chosen}
    laws = {key: t.distributions[key] for t in good for key in chosen if key in t.params}
    logarithmic = {key for key, law in laws.items() if "Log" in type(law).__name__}
    return draw_parallel(
        columns,
        [trial.values[place] for trial in good],
        logarithmic=logarithmic,
        objective=name,
        lower=lower,
        title=f"{study.study_name}: the {len(chosen)} parameters that matter most",
    )


def _front(
    study: optuna.Study, good: list[FrozenTrial], names: list[str], lower: list[bool], score: dict
) -> Any:
    """F1 over MACs as the score counts them; else the first two objectives."""
    known = [t for t in good if {"val/f1", "score/macs"} <= set(t.user_attrs.get(FIGURES, {}))]
    winner = next(iter(winners(study)), None)
    if len(known) >= 2 and (len(names) == 1 or set(names) <= {"val/f1", "cost/macs", "score/macs"}):
        points = [_macs_and_f1(trial.user_attrs[FIGURES], score) for trial in known]
        labels, better = ("MACs of one image, by the 2021 count", "val/f1"), (True, False)
        height: Callable | None = lambda macs, f1: macs_score(  # noqa: E731
            f1=min(max(f1, 0.0), 1.0), macs=max(macs, 0.0), **score
        )
    elif len(names) > 1:
        known, points = good, [(t.values[1], t.values[0]) for t in good]
        labels, better, height = (names[1], names[0]), (lower[1], lower[0]), None
    else:
        return None
    numbers = [trial.number for trial in known]
    place = numbers.index(winner.number) if winner and winner.number in numbers else None
    return draw_front(
        points,
        labels=labels,
        lower=better,
        winner=place,
        score=height,
        title=f"{study.study_name}: accuracy and cost",
    )


def _macs_and_f1(figures: dict[str, float], score: dict) -> tuple[int, float]:
    """The MACs that the score saw: what is left of it without the penalty for F1.

    A whole number: networks of equal cost stand above each other.
    """
    f1 = figures["val/f1"]
    penalty = macs_score(f1=f1, macs=0.0, **score)
    return round((figures["score/macs"] - penalty) * score["reference_macs"]), f1
