"""What a sweep may say, and what can be refused of a search before its first trial; no torch."""

import logging
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from omegaconf import DictConfig
from pydantic import Field, Strict

from compression.registry import Registry
from lightning_modules.errors import ConfigError
from lightning_modules.registry import plain
from lightning_modules.schema import (
    CountFrom0,
    Fraction,
    Positive,
    Wanted,
    check_settings,
    declared,
)
from lightning_modules.search.objectives import directions_of, objectives_of
from lightning_modules.search.space import bare, distributions, has_key, search_space

SAMPLERS = Registry(
    kind="sampler",  # a class of Optuna's BaseSampler, which may take a `seed`
    group="model_diet.samplers",
    paths={
        "auto": "optuna.samplers:TPESampler",  # for one objective
        "tpe": "optuna.samplers:TPESampler",
        "random": "optuna.samplers:RandomSampler",
        "cmaes": "optuna.samplers:CmaEsSampler",
        "nsgaii": "optuna.samplers:NSGAIISampler",
        "evolution": "lightning_modules.search.evolution:EvolutionSampler",
        "grid": "optuna.samplers:RandomSampler",  # of what the grid's points leave open
    },
    methods=("sample_independent",),
    error=ConfigError,
)
PRUNERS = Registry(
    kind="pruner",  # by its name a function of (min_epochs, epochs) that makes it
    group="model_diet.pruners",
    paths={
        name: f"lightning_modules.search.pruners:{name}"
        for name in ("median", "successive_halving", "hyperband")
    },
    methods=("prune",),
    error=ConfigError,
)
EACH_EPOCH = ("val/f1", "val/accuracy", "val/loss")  # what is known while a network trains
Above0 = Annotated[int, Strict(), Field(ge=1), Wanted("a whole number above 0")]


@declared()
class Limits:
    """On what a network may cost; one over them is not trained, or not taken."""

    macs: Positive | None = None
    params: Positive | None = None
    activation_bytes: Positive | None = None
    file_bytes: Positive | None = None
    latency_ms: Positive | None = None


@declared()
class Direction:
    """`sweep.direction` of one objective."""

    direction: Literal["maximize", "minimize"]


@declared(more="ignore")
class SweepSettings:
    """`sweep` of a composed multirun, as far as it is no space."""

    objectives: list[str]
    n_trials: Above0
    parallel: Above0
    max_failure_rate: Fraction
    mark_failed: list[CountFrom0]
    redraws: CountFrom0
    sampler: Annotated[Any, SAMPLERS]
    pruner: Annotated[Any, PRUNERS] | None
    pruner_epochs: Above0 | None

    def __post_init__(self) -> None:
        """Refuses what can do nothing with these objectives."""
        kind = kind_of(self.sampler, len(self.objectives))
        if kind in ("cmaes", "evolution") and len(self.objectives) > 1:
            raise ConfigError(
                f"sweep.sampler={kind} improves one objective; for several use "
                "sweep.sampler=nsgaii."
            )
        if self.pruner is not None and len(self.objectives) > 1:
            raise ConfigError(
                f"sweep.pruner={self.pruner} compares trials by one objective, not by "
                f"{len(self.objectives)}; leave it out, or name one objective and put the others "
                "into sweep.limits."
            )
        if self.pruner is not None and self.objectives[0] not in EACH_EPOCH:
            raise ConfigError(
                f"sweep.pruner={self.pruner} needs an objective that is known after each epoch: "
                f"{', '.join(EACH_EPOCH)}, not {self.objectives[0]}."
            )


def chosen_sampler(root: DictConfig) -> str | dict[str, Any]:
    """The name of the sampler, or the node with its `_target_`."""
    node = plain(root.hydra.sweeper.sampler)
    return node.get("kind", node)


def kind_of(sampler: str | Mapping[str, Any], objectives: int) -> str:
    """`tpe`, `nsgaii`, `grid`, ... of a sampler for so many objectives."""
    if isinstance(sampler, str):
        return "nsgaii" if sampler == "auto" and objectives > 1 else sampler
    return str(sampler["_target_"]).rpartition(".")[2].removesuffix("Sampler").lower()


def limits_of(cfg: DictConfig) -> dict[str, float]:
    """The limits that are set, by the name of the cost."""
    return {name: limit for name, limit in plain(cfg.sweep.limits).items() if limit is not None}


def check_search(root: DictConfig) -> None:
    """Refuses a search that cannot work; `root` is the composed multirun.

    Raises:
        ConfigError: the space, the objectives, the sampler, the limits or the budget are wrong.
    """
    settings, space = root.hydra.sweeper, search_space(root)
    names = objectives_of(root)
    for word in directions_of(root):
        check_settings(Direction, {"direction": word}, "sweep")
    if len(directions_of(root)) != len(names):
        raise ConfigError(
            f"sweep.direction has {len(directions_of(root))} entries for {len(names)} objectives; "
            "give one direction (maximize or minimize) for each objective."
        )
    own = {"n_trials": settings.n_trials, "parallel": settings.n_jobs, "objectives": names}
    own |= {"sampler": chosen_sampler(root), "max_failure_rate": settings.max_failure_rate}
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
    found, _ = distributions(space)
    from lightning_modules.search.grid import points  # Optuna: only for a search
    from lightning_modules.search.pruners import make_pruner
    from lightning_modules.search.samplers import sampler_for

    sampler_for(own["sampler"], number=0, seed=0, objectives=len(names))
    if kind_of(own["sampler"], len(names)) == "grid":
        next(points(found))  # refuses what has no end
    if root.sweep.pruner is not None:
        make_pruner(root, epochs=1)
    _check_custom(root)
    for key in space.dropped:
        print(f"note     {key} is not searched: what the command line chose has no such key")
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
