"""What a search shows while it runs: a line after each trial, and all of them in `trials.csv`."""

import csv
import io
from pathlib import Path

import optuna
from omegaconf import DictConfig
from optuna.trial import FrozenTrial, TrialState

from lightning_modules.files import write_text
from lightning_modules.search.objectives import objectives_of
from lightning_modules.search.trials import (
    FAILURE,
    METRICS,
    PRUNED,
    RETIRED,
    VIOLATION,
    best_trials,
    counts,
    violation_of,
)


def show(study: optuna.Study, number: int, root: DictConfig, seconds: float) -> None:
    """Prints `trial 7  val/f1 0.8123  |  8 of 30  |  best 0.8301 (trial 3)  |  12 s`."""
    trials = study.get_trials(deepcopy=False)
    trial = next(one for one in trials if one.number == number)
    names = objectives_of(root)
    done = sum(1 for one in trials if one.state.is_finished() and counts(one))
    parts = [f"trial {number}  {result(trial, names)}", f"{done} of {root.hydra.sweeper.n_trials}"]
    if found := best_line(study, names):
        parts.append(found)
    print("  |  ".join([*parts, f"{seconds:.0f} s"]), flush=True)


def result(trial: FrozenTrial, names: list[str]) -> str:
    """A finished trial's values by name, or why it has none."""
    if trial.state != TrialState.COMPLETE:
        return f"failed: {trial.user_attrs.get(FAILURE, 'no value')}"
    if over := violation_of(trial):
        return f"over the limits by {over:.0%}, not trained"
    return "  ".join(f"{n} {v:.6g}" for n, v in zip(names, trial.values, strict=True))


def best_line(study: optuna.Study, names: list[str]) -> str:
    """The best so far, or how many trials are on the Pareto front; empty without any."""
    best = best_trials(study)
    if not best:
        return ""
    if len(names) > 1:
        return f"{len(best)} on the Pareto front"
    return f"best {best[0].value:.6g} (trial {best[0].number})"


def write_table(study: optuna.Study, folder: Path, names: list[str]) -> Path:
    """Writes the table anew, in one piece; returns its path."""
    trials = study.get_trials(deepcopy=False)
    params = list(dict.fromkeys(name for trial in trials for name in trial.params))
    measured = dict.fromkeys(n for t in trials for n in t.user_attrs.get(METRICS, {}))
    metrics = [name for name in measured if name not in names]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["trial", "state", *names, *params, *metrics, "over limits", PRUNED, "seconds", "reason"]
    )
    for trial in trials:
        found = trial.user_attrs
        values = trial.values if trial.state == TrialState.COMPLETE else [""] * len(names)
        writer.writerow(
            [
                trial.number,
                state_of(trial),
                *values,
                *(trial.params.get(name, "") for name in params),
                *(found.get(METRICS, {}).get(name, "") for name in metrics),
                found.get(VIOLATION, ""),
                found.get(PRUNED, ""),
                f"{trial.duration.total_seconds():.2f}" if trial.duration else "",
                found.get(FAILURE, found.get(RETIRED, "")),
            ]
        )
    path = folder / "trials.csv"
    write_text(path, text.getvalue())
    return path


def state_of(trial: FrozenTrial) -> str:
    """`finished`, `stopped` (pruned), `refused` (over limits), `failed`, `retired`, `running`."""
    if RETIRED in trial.user_attrs:
        return "retired"
    if trial.state == TrialState.COMPLETE:
        if trial.user_attrs.get(VIOLATION):
            return "refused"
        return "stopped" if PRUNED in trial.user_attrs else "finished"
    return {TrialState.FAIL: "failed"}.get(trial.state, "running")
