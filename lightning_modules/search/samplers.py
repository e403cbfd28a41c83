"""Who chooses the next trial's parameters."""

import warnings
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, PartialFixedSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from lightning_modules.search.schema import SAMPLERS, kind_of, made
from lightning_modules.search.trials import feasible

warnings.filterwarnings("ignore", "PartialFixedSampler is", ExperimentalWarning)

POPULATION = 25  # of the latest trials within the limits
TOURNAMENT = 10  # of these; the best of them is the parent (many were stopped early)
MUTATIONS = 3  # parameters that a child draws anew, at most


def sampler_for(
    sampler: str | Mapping[str, Any], *, number: int, seed: int, objectives: int
) -> BaseSampler:
    """The sampler of one trial; its draws follow from the seed and the trial's number.

    A sampler that is kept draws otherwise after a resume: with its first numbers, which finished
    trials had already. What a sampler must know it reads from the study.

    Args:
        sampler: a registered name, or a node with a `_target_`, which may have a seed.
        number: of the trial.
        seed: of the run.
        objectives: how many.

    Raises:
        ConfigError: it cannot be built, or is no sampler.
    """
    kind, chosen = kind_of(sampler, objectives), sampler
    if isinstance(sampler, str) or kind == "grid":
        chosen = kind
    elif sampler.get("seed") is not None:
        seed = sampler["seed"]
    return made(SAMPLERS, chosen, "sweep.sampler", seed=zlib.crc32(f"{seed}/{number}".encode()))


def holds(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a value is one of those that a distribution gives."""
    try:
        create_trial(
            state=TrialState.RUNNING, params={"": value}, distributions={"": distribution}
        )  # Optuna's own check, which has no public name
    except (TypeError, ValueError):  # a word where a number is drawn, or none of the choices
        return False
    return True


class FixedValuesSampler(PartialFixedSampler):
    """Gives each parameter the value known for it; another sampler draws the rest.

    Optuna's takes all values before the first draw, also those that a parameter cannot have.

    Args:
        value_of: the known value of a parameter, or None.
        other: draws too, for what it notes of a draw; it is told how trials end.
    """

    def __init__(self, value_of: Callable[[str], Any], other: BaseSampler) -> None:
        super().__init__({}, other)
        self.value_of = value_of

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Those that the other sampler draws together."""
        drawn = super().sample_relative(study, trial, search_space)
        known = {name: self.value_of(name) for name in drawn}
        return drawn | {k: v for k, v in known.items() if holds(search_space[k], v)}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """The known value, or another one."""
        value = self.value_of(param_name)
        if holds(param_distribution, value):
            return value
        return super().sample_independent(study, trial, param_name, param_distribution)


class EvolutionSampler(FixedValuesSampler):
    """Regularised evolution (Real et al. 2019, Algorithm 1), one objective.

    A child takes its parent's parameters, of which one to three are drawn anew, and so are those
    that the parent had no use for. Old trials leave the population however good they are, so that a
    lucky one does not stay for ever. Without a parent everything is drawn.
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(lambda name: None, RandomSampler(seed))
        self.generator = np.random.default_rng(seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        """Chooses the parent, and what the child takes from it: Optuna asks this once a draw."""
        inherited: dict[str, Any] = {}
        if parent := self._parent(study):
            names = sorted(parent.params)
            count = int(self.generator.integers(1, MUTATIONS, endpoint=True))
            anew = self.generator.choice(names, size=min(count, len(names)), replace=False)
            inherited = {name: parent.params[name] for name in names if name not in anew}
        self.value_of = inherited.get
        return {}

    def _parent(self, study: Study) -> FrozenTrial | None:
        trials = [t for t in study.get_trials(deepcopy=False) if t.params]
        population = feasible(trials)[-POPULATION:]
        if not population:  # several workers have only begun: the first trial is all there is
            return next((one for one in trials if one.state == TrialState.RUNNING), None)
        size = min(TOURNAMENT, len(population))
        drawn = [population[i] for i in self.generator.choice(len(population), size, replace=False)]
        sign = 1 if study.direction.name == "MAXIMIZE" else -1
        return max(drawn, key=lambda trial: sign * trial.value)
