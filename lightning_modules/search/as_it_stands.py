"""A study's first trial: the configuration as it stands, so that nothing worse is the answer."""

from typing import Any

from omegaconf import DictConfig, OmegaConf
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from lightning_modules.search.space import bare


class AsItStands(BaseSampler):
    """Gives each parameter the value that its key has without a search.

    Where the space does not hold that value, or the parameter is no key, another sampler draws.

    Args:
        root: the composed multirun.
        other: draws the rest.
    """

    def __init__(self, root: DictConfig, other: BaseSampler) -> None:
        self.root, self.other = root, other

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        value = _value(self.root, bare(param_name))
        if _holds(param_distribution, value):
            return value
        return self.other.sample_independent(study, trial, param_name, param_distribution)


def _value(root: DictConfig, key: str) -> Any:
    """Of a key of the configuration, or the option chosen of a group; None where there is none."""
    choices = root.hydra.runtime.choices
    return choices[key] if key in choices else OmegaConf.select(root, key)


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    try:
        return distribution._contains(distribution.to_internal_repr(value))
    except (TypeError, ValueError):  # a word where a number is drawn, or none of the choices
        return False
