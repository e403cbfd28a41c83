"""`trials.csv`: every trial of a study, unrounded."""

import csv
import io
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from lightning_modules.files import write_text
from lightning_modules.search.record import FAILURE, FIGURES, PRUNED, RETIRED, VIOLATION


def write_table(study: optuna.Study, folder: Path, names: list[str]) -> Path:
    """Writes the table anew, in one piece; returns its path."""
    trials = study.get_trials(deepcopy=False)
    params = list(dict.fromkeys(name for trial in trials for name in trial.params))
    figures = dict.fromkeys(n for t in trials for n in t.user_attrs.get(FIGURES, {}))
    figures = [name for name in figures if name not in names]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["trial", "state", *names, *params, *figures, "over limits", PRUNED, "seconds", "reason"]
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
                *(found.get(FIGURES, {}).get(name, "") for name in figures),
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
