"""What can be refused of a search before its first trial, without torch."""

import logging

from omegaconf import DictConfig

from lightning_modules.errors import ConfigError
from lightning_modules.registry import plain
from lightning_modules.schema import check_settings
from lightning_modules.search.objectives import directions_of, objectives_of
from lightning_modules.search.schema import (
    Direction,
    Limits,
    SweepSettings,
    chosen_sampler,
    kind_of,
)
from lightning_modules.search.space import bare, distributions, has_key, search_space


def check_search(root: DictConfig) -> None:
    """Refuses a search that cannot work; `root` is the composed multirun.

    Raises:
        ConfigError: the space, the objectives, the sampler, the limits or the budget are wrong.
    """
    settings, space = root.hydra.sweeper, search_space(root)
    names = objectives_of(root)
    directions = directions_of(root.hydra)
    for word in directions:
        check_settings(Direction, {"direction": word}, "sweep")
    if len(directions) != len(names):
        raise ConfigError(
            f"sweep.direction has {len(directions)} entries for {len(names)} objectives; "
            "give one direction (maximize or minimize) for each objective."
        )
    own = {"n_trials": settings.n_trials, "parallel": settings.n_jobs, "objectives": names}
    own |= {"sampler": chosen_sampler(root.hydra), "max_failure_rate": settings.max_failure_rate}
    check_settings(SweepSettings, {**plain(root.sweep), **own}, "sweep")
    check_settings(Limits, plain(root.sweep.limits), "sweep.limits")
    if not space.params and settings.custom_search_space is None:
        raise ConfigError(
            "There is nothing left to search: the command line fixes every parameter of "
            f"sweep={root.sweep.name}; leave one of them out."
        )
    if any(bare(key).split(".")[0] == "distillation" for key in space.params) and not root.teacher:
        raise ConfigError(
            f"sweep={root.sweep.name} varies how teachers teach, but there is none; add "
            "'+teacher=NAME' or '+teacher.NAME.run=RUN'."
        )
    from lightning_modules.search.fixed_values import points  # Optuna: only for a search
    from lightning_modules.search.pruners import make_pruner
    from lightning_modules.search.samplers import sampler_for

    found, _ = distributions(space)
    sampler_for(own["sampler"], number=0, seed=0, objectives=len(names))
    if kind_of(own["sampler"], len(names)) == "grid":
        next(points(found))  # refuses what has no end
    if root.sweep.pruner is not None:
        make_pruner(root, epochs=1)
    if settings.custom_search_space is not None:
        _check_custom(root)
    for key in space.dropped:
        print(f"note     {key} is not searched: what the command line chose has no such key")


def _check_custom(root: DictConfig) -> None:
    """Draws one trial that is no trial: what a function suggests must be keys, too."""
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
