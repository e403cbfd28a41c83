"""Drawing a trial's parameters again: a network over the limits, or one that was tried before."""

import math
from collections.abc import Callable
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig
from optuna import Study
from optuna.distributions import BaseDistribution, _get_single_value
from optuna.trial import Trial

from lightning_modules.config import COMPOSING
from lightning_modules.registry import build
from lightning_modules.search.cost_limits import COUNTED, limits_of, meta_costs, violation
from lightning_modules.search.trials import counts


class Candidate(Trial):
    """A draw for a trial of the study that leaves nothing in its storage.

    Args:
        study: whose sampler draws.
        trial_id: of the running trial that it is drawn for.
    """

    def __init__(self, study: Study, trial_id: int) -> None:
        self.drawn: dict[str, Any] = {}
        super().__init__(study, trial_id)

    @property
    def params(self) -> dict[str, Any]:
        """What was drawn so far."""
        return dict(self.drawn)

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        if name not in self.drawn:
            self.drawn[name] = self._draw(name, distribution)
        return self.drawn[name]

    def _draw(self, name: str, distribution: BaseDistribution) -> Any:
        if distribution.single():
            return _get_single_value(distribution)
        if self._is_relative_param(name, distribution):
            return self.relative_params[name]
        frozen = self.storage.get_trial(self._trial_id)
        return self.study.sampler.sample_independent(self.study, frozen, name, distribution)


def draw_again(
    study: Study,
    trial_id: int,
    excess: Callable[[Trial], float],
    tries: int,
) -> dict[str, Any]:
    """The parameters of the first draw that is new and within the limits, or else of the nearest.

    Args:
        study: whose sampler draws.
        trial_id: of the trial.
        excess: how far over the limits a draw is, 0 within them.
        tries: how many draws at most, from 1.
    """
    trials = study.get_trials(deepcopy=False)
    known = [trial.params for trial in trials if counts(trial) and trial._trial_id != trial_id]
    best: dict[str, Any] = {}
    smallest = math.inf
    for _ in range(tries):
        candidate = Candidate(study, trial_id)
        over = excess(candidate)
        if candidate.params in known:
            over = math.inf
        if over < smallest or not best:
            best, smallest = candidate.params, over
        if not over:
            break
    return best


def counted_limits(root: DictConfig) -> dict[str, float]:
    """The limits on what is known of a network that was only described."""
    return {name: limit for name, limit in limits_of(root).items() if name in COUNTED}


def excess_of(root: DictConfig, overrides: list[str], limits: dict[str, float]) -> float:
    """How far over the limits the network of a trial with these overrides is.

    0 also where that is known only later: a network to be compressed, and one that cannot be.
    """
    try:
        cfg = GlobalHydra.instance().config_loader().load_sweep_config(root, overrides)
        if cfg.compression:
            return 0.0
        return violation(meta_costs(cfg, len(build(cfg.data.source).check())), limits)
    except COMPOSING:
        return 0.0  # the trial will fail, and say why
