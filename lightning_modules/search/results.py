"""What a search ends with, and what `scripts/report.py STUDY` shows at any time."""

import itertools
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lightning_modules.errors import ConfigError
from lightning_modules.reporting import StudyReport, study_pictures
from lightning_modules.reporting import Table as PageTable
from lightning_modules.reporting.pictures import draw_study
from lightning_modules.runs import as_text
from lightning_modules.search.ownership import OWNER
from lightning_modules.search.plots import study_plots
from lightning_modules.search.progress import state_of, write_table
from lightning_modules.search.storage import find_study
from lightning_modules.search.trials import (
    FAILURE,
    METRICS,
    PRUNED,
    best_trials,
    elsewhere,
    trial_folder,
)
from lightning_modules.search.winner import winners, write_winner

SHOWN = 10  # trials
WIDTH_OF_METRICS = 64  # characters of the table before the parameters
SHOWN_METRICS = ("val/f1", "cost/macs", "cost/params", "cost/latency_ms", "score/macs")


def show_results(folder: Path, *, top: int = 1) -> None:
    """Prints how a study stands and its best trials; writes its table, pictures and winners.

    Args:
        folder: of the study.
        top: how many of the best trials become experiments.

    Raises:
        ConfigError: it is no study, or no trial has a value that counts; says why.
    """
    study, about = find_study(folder)
    names = study.user_attrs["objectives"]
    trials = study.get_trials(deepcopy=False)
    print(f"\nstudy    {study.study_name}: {states(trials)}")
    for trial in elsewhere(trials):
        owner = trial.user_attrs[OWNER]
        print(f"running  trial {trial.number}: process {owner['pid']} on {owner['host']}")
    table = write_table(study, folder, names)
    best = best_trials(study)
    if not best:
        raise ConfigError(_why_nothing(trials, about["space"]["limits"]))
    console = Console(width=None if Console().is_terminal else 160)
    console.print(_table(best[:SHOWN], names, console.width))
    pictures = draw_study(study_plots(study, about["score"]), folder)
    print(f"trials   {table}")
    if pictures:
        print(f"pictures {pictures[0].parent}: {', '.join(path.stem for path in pictures)}")
    _show_winners(study, folder, top)


def _show_winners(study: optuna.Study, folder: Path, top: int) -> None:
    """Writes the experiments of those winners whose runs lie here."""
    names = []
    for place, winner in enumerate(winners(study)[:top], start=1):
        run, word = trial_folder(folder, winner.number), "winner" if place == 1 else "and"
        if not (run / ".hydra" / "config.yaml").is_file():
            print(f"{word:8} trial {winner.number}; its run is not in {run.parent}")
            continue
        path = write_winner(study, winner, run, place)
        print(f"{word:8} trial {winner.number}: {path}")
        names.append(path.stem)
    if names:
        print(f"next     python run.py -m experiment={','.join(names)} seed=0,1,2")


def study_report(folder: Path) -> StudyReport:
    """All that a page shows of the study in a folder.

    Raises:
        ConfigError: it cannot be opened.
    """
    study, _ = find_study(folder)
    names = study.user_attrs["objectives"]
    best = best_trials(study)
    table, winner = None, None
    if best:
        headings, rows = best_cells(best[:SHOWN], names)
        table = PageTable(title_of(names).capitalize(), headings, rows)
        run = trial_folder(folder, winners(study)[0].number)
        winner = run if (run / "metrics.json").is_file() else None
    return StudyReport(
        name=study.study_name,
        states=states(study.get_trials(deepcopy=False)),
        best=table,
        pictures=study_pictures(folder),
        winner=winner,
    )


def states(trials: list[FrozenTrial]) -> str:
    """How many trials finished, failed, are running, ..."""
    found: dict[str, int] = {}
    for trial in trials:
        found[state_of(trial)] = found.get(state_of(trial), 0) + 1
    return ", ".join(f"{count} {state}" for state, count in found.items()) or "no trials"


def _table(best: list[FrozenTrial], names: list[str], width: int) -> Table:
    headings, rows = best_cells(best, names, room=width - WIDTH_OF_METRICS)
    table = Table(title=title_of(names))
    for heading in headings:
        table.add_column(Text(heading), justify="right", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def title_of(names: list[str]) -> str:
    """What the best trials by these objectives are called."""
    return "Pareto front" if len(names) > 1 else f"best trials by {names[0]}"


def best_cells(
    best: list[FrozenTrial], names: list[str], *, room: int | None = None
) -> tuple[list[str], list[list[str]]]:
    """Headings and a row for each trial: its values, what else it measured, its parameters.

    Args:
        best: the trials.
        names: of the objectives.
        room: characters for the names of parameters; those that all have and that fit are shown.
    """
    extra = [f for f in SHOWN_METRICS if f not in names and _measured(best, f)]
    params = list(dict.fromkeys(name for trial in best for name in trial.params))
    common = [name for name in params if all(name in trial.params for trial in best)][:8]
    if room is not None:
        ends = itertools.accumulate(len(name) + 3 for name in common)
        common = [name for name, end in zip(common, ends, strict=True) if end <= room]
    headings = ["trial", *names, *extra, *common, *([PRUNED] if _stopped(best) else [])]
    rows = []
    for trial in best:
        found = trial.user_attrs.get(METRICS, {})
        row = [str(trial.number), *map(_number, trial.values)]
        row += [_number(found[name]) if name in found else "" for name in extra]
        row += [as_text(trial.params[name]) for name in common]
        if _stopped(best):
            row.append(str(trial.user_attrs.get(PRUNED, "")))
        rows.append(row)
    return headings, rows


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4f}"


def _measured(trials: list[FrozenTrial], metric: str) -> bool:
    return any(metric in trial.user_attrs.get(METRICS, {}) for trial in trials)


def _stopped(trials: list[FrozenTrial]) -> bool:
    return any(PRUNED in trial.user_attrs for trial in trials)


def _why_nothing(trials: list[FrozenTrial], limits: dict[str, float | None]) -> str:
    refused = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if refused:
        reasons = []
        for name, limit in ((n, limit) for n, limit in limits.items() if limit is not None):
            costs = [t.user_attrs.get(METRICS, {}).get(f"cost/{name}") for t in refused]
            costs = [cost for cost in costs if cost is not None]
            if costs and min(costs) > limit:
                reasons.append(
                    f"the smallest {name} seen is {min(costs):,.0f}, allowed {limit:,.0f}"
                )
        why = "; ".join(reasons) or "each trial exceeds one of them"
        return f"No trial met the limits: {why}. Raise sweep.limits or widen the space."
    reasons = [trial.user_attrs[FAILURE] for trial in trials if FAILURE in trial.user_attrs]
    if reasons:
        return f"All {len(reasons)} trials failed; the last one: {reasons[-1]}"
    return "The study has no finished trial yet."
