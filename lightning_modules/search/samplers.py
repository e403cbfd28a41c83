"""Who chooses the next trial's parameters."""

import warnings
import zlib
from collections.abc import Mapping
from typing import Any

import optuna
from omegaconf import DictConfig

from lightning_modules.errors import ConfigError
from lightning_modules.registry import build
from lightning_modules.schema import require_choice
from lightning_modules.search.evolution import EvolutionSampler
from lightning_modules.search.trials import violation_of

KINDS = {
    "tpe": optuna.samplers.TPESampler,
    "random": optuna.samplers.RandomSampler,
    "cmaes": optuna.samplers.CmaEsSampler,
    "nsgaii": optuna.samplers.NSGAIISampler,
    "evolution": EvolutionSampler,
}


def sampler_for(
    node: DictConfig, *, number: int, seed: int, objectives: int
) -> optuna.samplers.BaseSampler:
    """The sampler of one trial; its draws follow from the seed and the trial's number.

    A sampler that is kept draws otherwise after a resume: with its first numbers, which finished
    trials had already. What a sampler must know it reads from the study.

    Args:
        node: of `hydra.sweeper.sampler`; without a `_target_` its `kind` is one of KINDS, or
            `auto`: TPE for one objective, NSGA-II for several.
        number: of the trial.
        seed: of the run, where the node has none.
        objectives: how many.
    """
    seed = seed if node.get("seed") is None else node.seed
    seed = zlib.crc32(f"{seed}/{number}".encode())
    kind = kind_of(node, objectives=objectives)
    extra: dict[str, Any] = {"seed": seed}
    if kind == "nsgaii":
        extra["constraints_func"] = violations
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # constraints
        if _is_ours(node):
            return KINDS[kind](**extra)
        return build({str(k): v for k, v in node.items() if k not in extra}, **extra)


def kind_of(node: DictConfig, *, objectives: int) -> str:
    """`tpe`, `nsgaii`, `grid`, ...

    Raises:
        ConfigError: there is none of that name, or it cannot do several objectives.
    """
    if _is_ours(node):
        kind = node.kind if node.kind != "auto" else ("tpe" if objectives == 1 else "nsgaii")
        require_choice("sweep.sampler", kind, ("auto", *KINDS, "grid"))
    else:
        kind = str(node._target_).rpartition(".")[2].removesuffix("Sampler").lower()
    if kind in ("cmaes", "evolution") and objectives > 1:
        raise ConfigError(
            f"sweep.sampler={kind} improves one objective; for several use sweep.sampler=nsgaii."
        )
    return kind


def violations(trial: optuna.trial.FrozenTrial) -> list[float]:
    """NSGA-II's constraint: above 0 for a network over its limits."""
    return [violation_of(trial)]


def _is_ours(node: Mapping[str, Any]) -> bool:
    return node.get("_target_") == "lightning_modules.search.samplers.sampler_for"
