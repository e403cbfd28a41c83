"""Ending trials early that look worse than others did at the same epoch."""

import bisect
import copy
import itertools
import math
import zlib
from typing import Any

from omegaconf import DictConfig
from optuna import Study
from optuna.pruners import BasePruner, MedianPruner, SuccessiveHalvingPruner
from optuna.trial import FrozenTrial

from lightning_modules.registry import plain
from lightning_modules.search.schema import PRUNERS, made


def make_pruner(cfg: DictConfig, epochs: int) -> BasePruner:
    """The pruner that a trial's `sweep.pruner` names or describes; a step is an epoch, from 1.

    Raises:
        ConfigError: it cannot be built, or is no pruner.
    """
    chosen, first = cfg.sweep.pruner, cfg.sweep.pruner_epochs or math.ceil(epochs / 3)
    chosen = chosen if isinstance(chosen, str) else plain(chosen)
    return made(PRUNERS, chosen, "sweep.pruner", min_epochs=first, epochs=max(epochs, first))


def median(min_epochs: int, epochs: int) -> BasePruner:
    """Ends what is worse than the median of the others was at the same epoch."""
    return MedianPruner(n_startup_trials=4, n_warmup_steps=min_epochs)


def successive_halving(min_epochs: int, epochs: int) -> BasePruner:
    """Lets a third go on at each rung, of which each has three times the epochs."""
    return SuccessiveHalvingPruner(min_resource=min_epochs, reduction_factor=3)


def hyperband(min_epochs: int, epochs: int) -> BasePruner:
    """Successive halving from several first rungs."""
    return SteadyHyperband(min_resource=min_epochs, max_resource=epochs, reduction_factor=3)


class SteadyHyperband(BasePruner):
    """Hyperband whose trials are in the same bracket in every process, as from Optuna 3 on.

    Optuna 2's draws it from `hash` of a text, which differs in each. Bracket i has the trials whose
    first rung is the i-th (Li et al. 2018, JMLR 18, Algorithm 1), and compares only these.

    The first rung of bracket 0 is after `min_resource` epochs; a trial has `max_resource` at most.
    """

    def __init__(self, min_resource: int, max_resource: int, reduction_factor: int) -> None:
        last = math.floor(math.log(max_resource / min_resource, reduction_factor))
        self.brackets = [
            SuccessiveHalvingPruner(min_resource, reduction_factor, rate)
            for rate in range(last + 1)
        ]
        sizes = [(last + 1) * reduction_factor**s / (s + 1) for s in range(last, -1, -1)]
        self.ends = list(itertools.accumulate(map(math.ceil, sizes)))

    def bracket_of(self, study_name: str, number: int) -> int:
        """The bracket of the trial of that number."""
        place = zlib.crc32(f"{study_name}_{number}".encode()) % self.ends[-1]
        return bisect.bisect_right(self.ends, place)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the trial's bracket ends it."""
        bracket = self.bracket_of(study.study_name, trial.number)

        def rivals(**settings: Any) -> list[FrozenTrial]:
            places = ((t, self.bracket_of(name, t.number)) for t in study.get_trials(**settings))
            return [one for one, place in places if place == bracket]

        name, seen = study.study_name, copy.copy(study)
        vars(seen)["get_trials"] = rivals
        return self.brackets[bracket].prune(seen, trial)
