"""What a search shows while it runs: a line after each trial, and all of them in `trials.csv`."""

from pathlib import Path

from optuna import Study
from optuna.trial import FrozenTrial, TrialState

from lightning_modules.reporting import write_trials
from lightning_modules.search.live_trials import find_trial
from lightning_modules.search.trials import FAILURE, best_trials, counts, record_of, violation_of


def show(study: Study, number: int, asked: int, seconds: float) -> None:
    """Prints `trial 7  val/f1 0.8123  |  8 of 30  |  best 0.8301 (trial 3)  |  12 s`."""
    names = study.user_attrs["objectives"]
    trials = study.get_trials(deepcopy=False)
    done = sum(1 for one in trials if one.state.is_finished() and counts(one))
    line = result(find_trial(study, number), names)
    parts = [f"trial {number}  {line}", f"{done} of {asked}", best_line(study), f"{seconds:.0f} s"]
    print("  |  ".join(filter(None, parts)), flush=True)


def result(trial: FrozenTrial, names: list[str]) -> str:
    """A finished trial's values by name, or why it has none."""
    if trial.state != TrialState.COMPLETE:
        return f"failed: {trial.user_attrs.get(FAILURE, 'no value')}"
    if over := violation_of(trial):
        return f"over the limits by {over:.0%}, not trained"
    return "  ".join(f"{n} {v:.6g}" for n, v in zip(names, trial.values, strict=True))


def best_line(study: Study) -> str:
    """The best so far, or how many trials are on the Pareto front; empty without any."""
    best = best_trials(study)
    if best and len(study.directions) > 1:
        return f"{len(best)} on the Pareto front"
    return f"best {best[0].value:.6g} (trial {best[0].number})" if best else ""


def write_table(study: Study, folder: Path) -> Path:
    """Writes the table anew, in one piece; returns its path."""
    records = list(map(record_of, study.get_trials(deepcopy=False)))
    return write_trials(records, study.user_attrs["objectives"], folder)
