"""What a person sees between two trials."""

import optuna
from omegaconf import DictConfig
from optuna.trial import FrozenTrial, TrialState

from lightning_modules.search.objectives import objectives_of
from lightning_modules.search.record import FAILURE, counts, violation_of


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


def best_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Within the limits: all best first for one objective, the Pareto front for several."""
    good = feasible(study.get_trials(deepcopy=False))
    signs = [1 if direction.name == "MINIMIZE" else -1 for direction in study.directions]
    costs = {t.number: [s * v for s, v in zip(signs, t.values, strict=True)] for t in good}
    if len(signs) == 1:
        return sorted(good, key=lambda t: (costs[t.number], t.number))
    return [t for t in good if not any(_dominates(costs[o.number], costs[t.number]) for o in good)]


def feasible(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """Finished ones that were trained and met the limits."""
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return [trial for trial in done if not violation_of(trial)]


def _dominates(one: list[float], other: list[float]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
