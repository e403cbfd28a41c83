"""What the settings of a sweep may say, declared without torch or Optuna."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from omegaconf import DictConfig
from pydantic import Field, Strict

from compression.registry import Registry
from lightning_modules.errors import ConfigError
from lightning_modules.registry import build, plain, takes
from lightning_modules.schema import CountFrom0, Fraction, Positive, Wanted, declared

SAMPLERS = Registry(
    kind="sampler",  # a class of Optuna's BaseSampler that may take a `seed`
    group="model_diet.samplers",
    paths={
        "auto": "optuna.samplers:TPESampler",  # for one objective
        "tpe": "optuna.samplers:TPESampler",
        "random": "optuna.samplers:RandomSampler",
        "cmaes": "optuna.samplers:CmaEsSampler",
        "nsgaii": "optuna.samplers:NSGAIISampler",
        "evolution": "lightning_modules.search.samplers:EvolutionSampler",
        "grid": "optuna.samplers:RandomSampler",  # of what the grid's points leave open
    },
    methods=("sample_independent",),
    error=ConfigError,
)
PRUNERS = Registry(
    kind="pruner",  # a class of Optuna's BasePruner, or what makes it of min_epochs and epochs
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
    silent_minutes: Positive
    sampler: Annotated[Any, SAMPLERS]
    pruner: Annotated[Any, PRUNERS] | None
    pruner_epochs: Above0 | None

    def __post_init__(self) -> None:
        """Refuses what can do nothing with these objectives."""
        kind, count = kind_of(self.sampler, len(self.objectives)), len(self.objectives)
        if kind in ("cmaes", "evolution") and count > 1:
            raise ConfigError(
                f"sweep.sampler={kind} improves one objective; for several use "
                "sweep.sampler=nsgaii."
            )
        if self.pruner is not None and count > 1:
            raise ConfigError(
                f"sweep.pruner={self.pruner} compares trials by one objective, not by {count}; "
                "leave it out, or name one objective and put the others into sweep.limits."
            )
        if self.pruner is not None and self.objectives[0] not in EACH_EPOCH:
            raise ConfigError(
                f"sweep.pruner={self.pruner} needs an objective that is known after each epoch: "
                f"{', '.join(EACH_EPOCH)}, not {self.objectives[0]}."
            )


def chosen_sampler(hydra: DictConfig) -> str | dict[str, Any]:
    """The name of the sampler, or the node with its `_target_`, of a `hydra` node."""
    node = plain(hydra.sweeper.sampler)
    return node.get("kind", node)


def kind_of(sampler: str | Mapping[str, Any], objectives: int) -> str:
    """`tpe`, `nsgaii`, `grid`, ... of a sampler for so many objectives."""
    if isinstance(sampler, str):
        return "nsgaii" if sampler == "auto" and objectives > 1 else sampler
    return str(sampler["_target_"]).rpartition(".")[2].removesuffix("Sampler").lower()


def made(registry: Registry, chosen: str | Mapping[str, Any], key: str, **known: Any) -> Any:
    """The part that a setting names or describes; of the known arguments it gets what it takes.

    Raises:
        ConfigError: it cannot be built, or is no such part.
    """
    if isinstance(chosen, str):
        registry.load(chosen, key)  # says whose it is, where it cannot be imported
        chosen = {"_target_": registry.path(chosen, key)}
    node = dict(chosen)
    node |= {name: value for name, value in known.items() if takes(node, name)}
    return registry.part(build(node), key)
