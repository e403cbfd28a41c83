"""What the pictures of a study show, read from Optuna as plain data."""

from collections.abc import Mapping, Sequence

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial

from lightning_modules.reporting.pictures import StudyPlots, TrialPoint
from lightning_modules.search.trials import METRICS, PRUNED, RETIRED, feasible
from lightning_modules.search.winner import winners

BINS = 4  # of a numeric parameter, with equally many trials each
MIN_TRIALS = 8  # that have a parameter


def study_plots(study: optuna.Study, score: Mapping[str, float]) -> StudyPlots:
    """What is drawn of a study: its trials within the limits, and what matters in them.

    Args:
        study: of any length.
        score: constants of `score/macs`.
    """
    trials = study.get_trials(deepcopy=False)
    good = feasible(trials)
    known = {trial.number for trial in good}
    ended = [t for t in trials if t.state.is_finished() and RETIRED not in t.user_attrs]
    laws = {name: law for trial in good for name, law in trial.distributions.items()}
    names = study.user_attrs["objectives"]
    return StudyPlots(
        name=study.study_name,
        objectives=names,
        lower=[direction.name == "MINIMIZE" for direction in study.directions],
        trials=[_point(trial) for trial in good],
        without=[trial.number for trial in ended if trial.number not in known],
        importances=[importances(good, place) for place in range(len(names))],
        logarithmic=frozenset(
            name
            for name, law in laws.items()
            if "Log" in type(law).__name__ or getattr(law, "log", False)
        ),
        winner=next((trial.number for trial in winners(study)), None),
        score=score,
    )


def _is_logarithmic(law: BaseDistribution) -> bool:
    return bool(getattr(law, "log", "Log" in type(law).__name__))  # Optuna 2 has classes for it


def _point(trial: FrozenTrial) -> TrialPoint:
    return TrialPoint(
        number=trial.number,
        values=trial.values,
        params=trial.params,
        metrics=trial.user_attrs.get(METRICS, {}),
        stopped=PRUNED in trial.user_attrs,
    )


def importances(trials: Sequence[FrozenTrial], objective: int = 0) -> dict[str, float]:
    """The fraction of variance that lies between a parameter's values, largest first.

    The correlation ratio with Kelley's correction for the number of groups (epsilon squared;
    Kelley 1935, PNAS 21): 0 for a parameter that does nothing, 1 for one that decides alone; joint
    effects are not in it. It suits conditional spaces, for each parameter is judged by the trials
    that have it; Optuna's own are of parameters that all trials have, and add up to 1 in any case.

    Args:
        trials: finished ones.
        objective: which of their values.
    """
    names = dict.fromkeys(name for trial in trials for name in trial.params)
    found = {}
    for name in names:
        having = [trial for trial in trials if name in trial.params]
        if len(having) >= MIN_TRIALS:
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
    levels, count = len(np.unique(groups)), len(values)
    if total == 0 or levels < 2 or count <= levels:
        return 0.0
    members = [values[groups == group] for group in np.unique(groups)]
    within = sum(float(((one - one.mean()) ** 2).sum()) for one in members)
    return max(0.0, 1 - (within / (count - levels)) / (total / (count - 1)))
