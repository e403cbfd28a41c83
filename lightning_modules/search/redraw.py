"""Drawing a trial's parameters again: a network over the limits, or one that was tried before."""

import math
from collections.abc import Callable
from typing import Any

import optuna
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from lightning_modules.config import COMPOSING
from lightning_modules.registry import build
from lightning_modules.search.cost_limits import COUNTED, meta_costs, violation
from lightning_modules.search.schema import limits_of
from lightning_modules.search.trials import counts


class SamplerOfTrial(BaseSampler):
    """Draws for another study whatever a sampler would draw for one trial of its own study.

    Args:
        study: whose sampler draws, and from whose trials it learns.
        trial: a running one of it; what the sampler itself notes of a draw stays with it.
    """

    def __init__(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self.own = study, trial
        self.sampler = study.sampler

    def infer_relative_search_space(self, *_: Any) -> dict[str, BaseDistribution]:
        """What the sampler draws together."""
        return self.sampler.infer_relative_search_space(*self.own)

    def sample_relative(self, _: Any, __: Any, space: dict[str, BaseDistribution]) -> Any:
        """That, drawn."""
        return self.sampler.sample_relative(*self.own, space)

    def sample_independent(self, _: Any, __: Any, name: str, distribution: BaseDistribution) -> Any:
        """A parameter that is drawn alone."""
        return self.sampler.sample_independent(*self.own, name, distribution)


def draw_again(
    study: optuna.Study,
    trial: FrozenTrial,
    excess: Callable[[optuna.Trial], float],
    tries: int,
) -> dict[str, Any]:
    """The parameters of the first draw that is new and within the limits, or else of the nearest.

    Args:
        study: whose sampler draws; nothing of a draw is left in it.
        trial: a running one, for which it draws.
        excess: how far over the limits a draw is, 0 within them.
        tries: how many draws at most, from 1.
    """
    others = (one for one in study.get_trials(deepcopy=False) if one.number != trial.number)
    known = [one.params for one in others if counts(one)]
    drafts = optuna.create_study(sampler=SamplerOfTrial(study, trial))  # in memory
    best: dict[str, Any] = {}
    smallest = math.inf
    for _ in range(tries):
        draft = drafts.ask()
        over = excess(draft)
        if draft.params in known:
            over = math.inf
        if over < smallest or not best:
            best, smallest = draft.params, over
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
