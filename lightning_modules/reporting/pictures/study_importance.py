"""How much each parameter of a study matters."""

from collections.abc import Container, Sequence
from typing import Any

import numpy as np

from lightning_modules.reporting.study_trials import TrialRecord

BINS = 4  # of a numeric parameter, with equally many trials each
MIN_TRIALS = 8  # that have a parameter


def importances(
    trials: Sequence[TrialRecord], categorical: Container[str], objective: int = 0
) -> dict[str, float]:
    """The fraction of variance that lies between a parameter's values, largest first.

    The correlation ratio with Kelley's correction for the number of groups (epsilon squared;
    Kelley 1935, PNAS 21): 0 for a parameter that does nothing, 1 for one that decides alone; joint
    effects are not in it. It suits conditional spaces, for each parameter is judged by the trials
    that have it; Optuna's own are of parameters that all trials have, and add up to 1 in any case.

    Args:
        trials: finished ones.
        categorical: parameters that are no numbers, or whose numbers were chosen from a list.
        objective: which of their values.
    """
    names = dict.fromkeys(name for trial in trials for name in trial.params)
    found = {}
    for name in names:
        having = [trial for trial in trials if name in trial.params]
        if len(having) >= MIN_TRIALS:
            values = np.array([trial.values[objective] for trial in having])
            groups = _groups([trial.params[name] for trial in having], name in categorical)
            found[name] = _explained(groups, values)
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def _groups(values: list[Any], categorical: bool) -> np.ndarray:
    """The number of each value's group."""
    if categorical:
        return np.unique([str(value) for value in values], return_inverse=True)[1]
    numbers = np.array(values, float)
    edges = np.unique(np.quantile(numbers, np.arange(1, BINS) / BINS))
    return np.searchsorted(edges, numbers, side="right")


def _explained(groups: np.ndarray, values: np.ndarray) -> float:
    total = float(((values - values.mean()) ** 2).sum())
    levels, count = len(np.unique(groups)), len(values)
    if total == 0 or levels < 2 or count <= levels:
        return 0.0
    members = [values[groups == group] for group in np.unique(groups)]
    within = sum(float(((one - one.mean()) ** 2).sum()) for one in members)
    return max(0.0, 1 - (within / (count - levels)) / (total / (count - 1)))
