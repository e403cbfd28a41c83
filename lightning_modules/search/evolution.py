"""Children of good trials: what a search of architectures needs under tight limits."""

from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from lightning_modules.search.fixed_values import holds
from lightning_modules.search.trials import feasible

POPULATION = 25  # of the latest trials within the limits
TOURNAMENT = 10  # of these; the best of them is the parent (many were stopped early)
MUTATIONS = 3  # parameters that a child draws anew, at most


class EvolutionSampler(RandomSampler):
    """Regularised evolution (Real et al. 2019, Algorithm 1), one objective.

    A child takes its parent's parameters, of which one to three are drawn anew, and so are those
    that the parent had no use for. Old trials leave the population however good they are, so that a
    lucky one does not stay for ever. Without a parent everything is drawn.

    Args:
        seed: of all choices.
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(seed=seed)
        self.generator = np.random.default_rng(seed)
        self.inherited: dict[str, object] = {}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        """Chooses the parent, and what the child takes from it: Optuna asks this once a draw."""
        self.inherited = {}
        parent = self._parent(study, trial.number)
        if parent is not None:
            names = sorted(parent.params)
            count = int(self.generator.integers(1, MUTATIONS, endpoint=True))
            anew = self.generator.choice(names, size=min(count, len(names)), replace=False)
            self.inherited = {name: parent.params[name] for name in names if name not in anew}
        return {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> object:
        """The parent's value, or a random one."""
        value = self.inherited.get(param_name)
        if holds(param_distribution, value):
            return value
        return super().sample_independent(study, trial, param_name, param_distribution)

    def _parent(self, study: Study, number: int) -> FrozenTrial | None:
        trials = [t for t in study.get_trials(deepcopy=False) if t.params]
        population = feasible(trials)[-POPULATION:]
        if not population:  # several workers have only begun: the first trial is all there is
            begun = (t for t in trials if t.state == TrialState.RUNNING and t.number < number)
            return next(begun, None)
        size = min(TOURNAMENT, len(population))
        drawn = [population[i] for i in self.generator.choice(len(population), size, replace=False)]
        sign = 1 if study.direction == StudyDirection.MAXIMIZE else -1
        return max(drawn, key=lambda trial: sign * trial.value)
