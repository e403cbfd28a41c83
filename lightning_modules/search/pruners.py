"""Ending trials early that look worse than others did at the same epoch."""

import math
import zlib
from collections.abc import Sequence

import optuna
from omegaconf import DictConfig
from optuna.trial import FrozenTrial

from lightning_modules.errors import ConfigError
from lightning_modules.schema import is_whole, require_choice

KINDS = ("median", "successive_halving", "hyperband")
EACH_EPOCH = ("val/f1", "val/accuracy", "val/loss")  # what is known while a network trains


def check_pruner(cfg: DictConfig, objectives: Sequence[str]) -> None:
    """Refuses pruning that cannot work.

    Raises:
        ConfigError: of several objectives, or of one that is not known after each epoch.
    """
    kind, min_epochs = cfg.sweep.pruner, cfg.sweep.pruner_epochs
    if kind is None:
        return
    require_choice("sweep.pruner", kind, KINDS)
    if min_epochs is not None and not is_whole(min_epochs):
        raise ConfigError(
            f"sweep.pruner_epochs={min_epochs}; it must be a whole number above 0, or null."
        )
    if len(objectives) > 1:
        raise ConfigError(
            f"sweep.pruner={kind} compares trials by one objective, not by {len(objectives)}; "
            "leave it out, or name one objective and put the others into sweep.limits."
        )
    if objectives[0] not in EACH_EPOCH:
        raise ConfigError(
            f"sweep.pruner={kind} needs an objective that is known after each epoch: "
            f"{', '.join(EACH_EPOCH)}, not {objectives[0]}."
        )


def make_pruner(cfg: DictConfig, epochs: int) -> optuna.pruners.BasePruner:
    """The pruner that `sweep.pruner` names; a step is an epoch, from 1.

    Args:
        cfg: of a trial.
        epochs: of a whole trial.
    """
    kind, min_epochs = cfg.sweep.pruner, cfg.sweep.pruner_epochs
    min_epochs = min_epochs or math.ceil(epochs / 3)
    if kind == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=min_epochs)
    if kind == "successive_halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=min_epochs, reduction_factor=3)
    return SteadyHyperband(
        min_resource=min_epochs, max_resource=max(epochs, min_epochs), reduction_factor=3
    )


class SteadyHyperband(optuna.pruners.HyperbandPruner):
    """Puts a trial into the same bracket in every process; `hash` of a text differs in each."""

    def _get_bracket_id(self, study: optuna.Study, trial: FrozenTrial) -> int:
        if not self._pruners:
            return 0
        place = zlib.crc32(f"{study.study_name}_{trial.number}".encode())
        place %= self._total_trial_allocation_budget
        for bracket, budget in enumerate(self._trial_allocation_budgets):
            place -= budget
            if place < 0:
                return bracket
        raise AssertionError("The budgets add up to their total.")
