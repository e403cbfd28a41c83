"""What can be refused of a search before its first trial, without torch."""

import logging

from omegaconf import DictConfig

from lightning_modules.errors import ConfigError
from lightning_modules.schema import is_whole
from lightning_modules.search.cost_limits import limits_of
from lightning_modules.search.objectives import directions_of, objectives_of
from lightning_modules.search.space import bare, distributions, has_key, search_space


def check_search(root: DictConfig) -> None:
    """Refuses a search that cannot work; `root` is the composed multirun.

    Raises:
        ConfigError: the space, the objectives, the sampler, the limits or the budget are wrong.
    """
    from lightning_modules.search.pruners import check_pruner  # Optuna: only for a search
    from lightning_modules.search.samplers import kind_of

    settings, names = root.hydra.sweeper, objectives_of(root)
    directions_of(root)
    space = search_space(root)
    if not space.params and settings.custom_search_space is None:
        raise ConfigError(
            "There is nothing left to search: the command line fixes every parameter of "
            f"sweep={root.sweep.name}; leave one of them out."
        )
    for key in space.dropped:
        print(f"note     {key} is not searched: what the command line chose has no such key")
    if any(bare(key).split(".")[0] == "distillation" for key in space.params) and not root.teacher:
        raise ConfigError(
            f"sweep={root.sweep.name} varies how teachers teach, but there is none; add "
            "'+teacher=NAME' or '+teacher.NAME.run=RUN'."
        )
    found, _ = distributions(space)
    if kind_of(settings.sampler, objectives=len(names)) == "grid":
        from lightning_modules.search.grid import points

        next(points(found))  # refuses what has no end
    _check_budget(root)
    limits_of(root)
    check_pruner(root, names)
    _check_custom(root)


def _check_budget(root: DictConfig) -> None:
    settings = root.hydra.sweeper
    for key, name in (("n_trials", "n_trials"), ("n_jobs", "parallel")):
        if not is_whole(settings[key]):
            raise ConfigError(f"sweep.{name}={settings[key]}; it must be a whole number above 0.")
    if settings.n_jobs != 1 and root.hydra.runtime.choices["hydra/launcher"] == "basic":
        print(f"note     sweep.parallel={settings.n_jobs}: this launcher runs one after the other")


def _check_custom(root: DictConfig) -> None:
    """Draws one trial that is no trial: what a function suggests must be keys, too."""
    if root.hydra.sweeper.custom_search_space is None:
        return
    import optuna

    from lightning_modules.search.custom_space import custom_overrides

    optuna.logging.set_verbosity(logging.WARNING)
    for line in custom_overrides(root, optuna.create_study().ask()):
        key = line.split("=", 1)[0]
        if not key.startswith(("+", "~")) and not has_key(root, bare(key)):
            raise ConfigError(
                f"sweep.custom_search_space suggests {key}, which is not a key of the "
                "configuration; write it with a + to add it."
            )
