"""How much of an objective's spread each parameter explains by itself."""

from collections.abc import Sequence

import numpy as np
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial

BINS = 4  # of a numeric parameter, with equally many trials each
LEAST = 8  # trials that have a parameter


def importances(trials: Sequence[FrozenTrial], objective: int = 0) -> dict[str, float]:
    """The share of variance that lies between a parameter's values, largest first.

    The correlation ratio with Kelley's correction for the number of groups (epsilon squared;
    Kelley 1935, PNAS 21): 0 for a parameter that does nothing, 1 for one that decides alone; joint
    effects are not in it. It suits conditional spaces, for each parameter is judged by the trials
    that have it.

    Args:
        trials: finished ones.
        objective: which of their values.
    """
    names = dict.fromkeys(name for trial in trials for name in trial.params)
    found = {}
    for name in names:
        having = [trial for trial in trials if name in trial.params]
        if len(having) >= LEAST:
            values = np.array([trial.values[objective] for trial in having])
            found[name] = _explained(_groups(name, having), values)
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def _groups(name: str, trials: Sequence[FrozenTrial]) -> np.ndarray:
    """The number of each trial's group."""
    values = [trial.params[name] for trial in trials]
    if isinstance(trials[0].distributions[name], CategoricalDistribution):
        return np.unique([str(value) for value in values], return_inverse=True)[1]
    edges = np.unique(np.quantile(np.array(values, float), np.arange(1, BINS) / BINS))
    return np.searchsorted(edges, np.array(values, float), side="right")


def _explained(groups: np.ndarray, values: np.ndarray) -> float:
    total = float(((values - values.mean()) ** 2).sum())
    kinds, count = len(np.unique(groups)), len(values)
    if total == 0 or kinds < 2 or count <= kinds:
        return 0.0
    members = [values[groups == group] for group in np.unique(groups)]
    within = sum(float(((one - one.mean()) ** 2).sum()) for one in members)
    return max(0.0, 1 - (within / (count - kinds)) / (total / (count - 1)))
