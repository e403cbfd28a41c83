"""Spaces that need code: conditional parameters, or several that make one value."""

from hydra.utils import get_method
from omegaconf import DictConfig
from optuna.trial import Trial

from lightning_modules.errors import ConfigError
from lightning_modules.search.space import as_override


def custom_overrides(root: DictConfig, trial: Trial) -> list[str]:
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
