"""Parameters whose values are known: of a study's first trial, of a grid, or drawn before."""

from collections.abc import Callable
from typing import Any

from omegaconf import DictConfig, OmegaConf
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from lightning_modules.search.space import bare


class FixedValuesSampler(RandomSampler):
    """Gives each parameter the value known for it; another sampler draws the rest.

    Args:
        value_of: the known value of a parameter, or None.
        other: draws where there is none, and is told how trials end.
    """

    def __init__(self, value_of: Callable[[str], Any], other: BaseSampler) -> None:
        super().__init__()  # which draws nothing together
        self.value_of, self.other = value_of, other

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
        return self.other.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, *arguments: Any, **named: Any) -> None:
        """Optuna's, for the other sampler."""
        self.other.after_trial(*arguments, **named)


def default_value(root: DictConfig, name: str) -> Any:
    """The value that a parameter's key has without a search, or the option chosen of a group.

    A study's first trial has these, so that nothing worse wins; None where there is none.
    """
    key, choices = bare(name), root.hydra.runtime.choices
    return choices[key] if key in choices else OmegaConf.select(root, key)


def holds(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a value is one of those that a distribution gives."""
    try:
        create_trial(
            state=TrialState.RUNNING, params={"": value}, distributions={"": distribution}
        )  # Optuna's own check, which has no public name
    except (TypeError, ValueError):  # a word where a number is drawn, or none of the choices
        return False
    return True
