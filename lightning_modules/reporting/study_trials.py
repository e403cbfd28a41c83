"""What is told of a study's trials: each as plain data, all of them as CSV, how they stand."""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_modules.files import write_text

STOPPED = "stopped after epoch"  # heading of trials that pruning ended


@dataclass(frozen=True)
class TrialRecord:
    """One trial, as its study has it.

    Attributes:
        number: of the trial.
        state: `finished`, `stopped` (pruned), `refused` (over limits), `failed`, `retired` or
            `running`.
        values: one for each objective; none without a finished run.
        params: its parameters.
        metrics: what else its run measured, by name.
        over_limits: by how much, as a fraction of the limits; None where nothing was over.
        stopped_after: the epoch after which pruning ended it.
        seconds: how long it took; None while it runs.
        reason: why it failed or does not count.
    """

    number: int
    values: Sequence[float] = ()
    state: str = "finished"
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    over_limits: float | None = None
    stopped_after: int | None = None
    seconds: float | None = None
    reason: str = ""


def write_trials(trials: Sequence[TrialRecord], objectives: Sequence[str], folder: Path) -> Path:
    """Writes `trials.csv` into a study's folder, in one piece; returns its path."""
    params = list(dict.fromkeys(name for trial in trials for name in trial.params))
    measured = dict.fromkeys(name for trial in trials for name in trial.metrics)
    metrics = [name for name in measured if name not in objectives]
    ends = ["over limits", STOPPED, "seconds", "reason"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", *objectives, *params, *metrics, *ends])
    for trial in trials:
        cells: list[Any] = [trial.number, trial.state]
        cells += trial.values or [""] * len(objectives)
        cells += [trial.params.get(name, "") for name in params]
        cells += [trial.metrics.get(name) for name in metrics]
        seconds = None if trial.seconds is None else f"{trial.seconds:.2f}"
        writer.writerow([*cells, trial.over_limits, trial.stopped_after, seconds, trial.reason])
    path = folder / "trials.csv"
    write_text(path, text.getvalue())
    return path


def states(trials: Sequence[TrialRecord]) -> str:
    """How many trials finished, failed, are running, ..."""
    found = Counter(trial.state for trial in trials)
    return ", ".join(f"{count} {state}" for state, count in found.items()) or "no trials"


def why_nothing(trials: Sequence[TrialRecord], limits: Mapping[str, float]) -> str:
    """Why a study has no best trial, in a sentence."""
    refused = [trial for trial in trials if trial.state == "refused"]
    if refused:
        smallest = {
            name: min((t.metrics[cost] for t in refused if cost in t.metrics), default=0)
            for name, cost in ((name, f"cost/{name}") for name in limits)
        }
        reasons = [
            f"the smallest {name} seen is {cost:,.0f}, allowed {limits[name]:,.0f}"
            for name, cost in smallest.items()
            if cost > limits[name]
        ]
        why = "; ".join(reasons) or "each trial exceeds one of them"
        return f"No trial met the limits: {why}. Raise sweep.limits or widen the space."
    reasons = [trial.reason for trial in trials if trial.state == "failed"]
    if reasons:
        return f"All {len(reasons)} trials failed; the last one: {reasons[-1]}"
    return "The study has no finished trial yet."


def result(trial: TrialRecord, objectives: Sequence[str]) -> str:
    """An ended trial's values by name, or why it has none."""
    if not trial.values:
        return f"failed: {trial.reason or 'no value'}"
    if trial.over_limits:
        return f"over the limits by {trial.over_limits:.0%}, not trained"
    return "  ".join(f"{n} {v:.6g}" for n, v in zip(objectives, trial.values, strict=True))


def progress(trials: Sequence[TrialRecord], best: Sequence[TrialRecord], asked: int) -> str:
    """`8 of 30  |  best 0.8301 (trial 3)`, of all trials and of those that count, best first."""
    done = sum(1 for trial in trials if trial.state not in ("running", "retired"))
    parts = [f"{done} of {asked}"]
    if best and len(best[0].values) > 1:
        parts.append(f"{len(best)} on the Pareto front")
    elif best:
        parts.append(f"best {best[0].values[0]:.6g} (trial {best[0].number})")
    return "  |  ".join(parts)
