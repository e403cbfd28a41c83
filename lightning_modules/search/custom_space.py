"""Spaces that need code: conditional parameters, or several that make one value."""

from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf

from lightning_modules.errors import ConfigError
from lightning_modules.search.space import as_override, is_taken, parse, taken_keys

if TYPE_CHECKING:
    from optuna.trial import BaseTrial


def custom_overrides(root: DictConfig, trial: "BaseTrial") -> list[str]:
    """What `hydra.sweeper.custom_search_space` adds to a trial.

    The function is called with the composed multirun and the trial. It may return overrides;
    where it returns None, the parameters it suggested are the overrides.

    Raises:
        ConfigError: there is no such function.
    """
    path = root.hydra.sweeper.custom_search_space
    if path is None:
        return []
    try:
        function = get_method(path)
    except Exception as error:
        raise ConfigError(f"sweep.custom_search_space={path} cannot be loaded: {error}.") from None
    before = set(trial.params)
    returned = function(root, trial)
    if returned is not None:
        return list(returned)
    return [as_override(*pair) for pair in trial.params.items() if pair[0] not in before]


class Draw:
    """Draws the value of a key, unless the command line gives it.

    Attributes:
        overrides: of all keys drawn so far.
    """

    def __init__(self, root: DictConfig, trial: "BaseTrial") -> None:
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
        found = parse(name, str(expression))
        if isinstance(found, str):
            return OverridesParser.create().parse_override(f"{name}={found}").value()
        single = found.values is not None and len(found.values) == 1
        return found.values[0] if found.values and single else found.draw(self.trial, name)
