"""Drawing parameters in a space that needs code."""

from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import BaseDistribution
from optuna.trial import Trial

from lightning_modules.search.space import Space, as_override, distributions, is_taken, taken_keys


class Draw:
    """Draws the value of a key, unless the command line gives it.

    Attributes:
        overrides: of all keys drawn so far.
    """

    def __init__(self, root: DictConfig, trial: Trial) -> None:
        self.root, self.trial = root, trial
        self.taken = taken_keys(root)
        self.overrides: list[str] = []

    def __call__(self, key: str, expression: Any) -> Any:
        """The value of `key`, of an expression such as `choice(3,5)` or `range(8,64,8)`.

        Raises:
            ConfigError: the expression cannot be read.
        """
        if is_taken(key, self.taken):
            value = self.trial.params.get(key)  # the command line sweeps over it itself
            return OmegaConf.select(self.root, key) if value is None else value
        value = self.parameter(key, expression)
        self.overrides.append(as_override(key, value))
        return value

    def parameter(self, name: str, expression: Any) -> Any:
        """Draws what is no key itself; a single value, `choice(3)` or 3, is no parameter."""
        found, constant = distributions(Space({name: str(expression)}, [], []))
        if constant:
            return OverridesParser.create().parse_override(constant[0]).value()
        distribution: BaseDistribution = found[name]
        if distribution.single():
            return _only(distribution)
        return self.trial._suggest(name, distribution)


def _only(distribution: BaseDistribution) -> Any:
    choices = getattr(distribution, "choices", None)
    return choices[0] if choices else distribution.low
