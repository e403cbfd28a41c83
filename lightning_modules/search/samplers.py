"""Who chooses the next trial's parameters."""

import zlib

from omegaconf import DictConfig
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)

from lightning_modules.errors import ConfigError
from lightning_modules.registry import build
from lightning_modules.schema import require_choice
from lightning_modules.search.evolution import EvolutionSampler

KINDS = {
    "tpe": TPESampler,
    "random": RandomSampler,
    "cmaes": CmaEsSampler,
    "nsgaii": NSGAIISampler,
    "evolution": EvolutionSampler,
    "grid": RandomSampler,  # of what a grid's points leave open
}
OURS = "lightning_modules.search.samplers.sampler_for"


def sampler_for(node: DictConfig, *, number: int, seed: int, objectives: int) -> BaseSampler:
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
    if node.get("_target_") == OURS or kind == "grid":
        return KINDS[kind](seed=seed)
    return build({str(k): v for k, v in node.items() if k != "seed"}, seed=seed)


def kind_of(node: DictConfig, *, objectives: int) -> str:
    """`tpe`, `nsgaii`, `grid`, ...

    Raises:
        ConfigError: there is none of that name, or it cannot do several objectives.
    """
    if node.get("_target_") == OURS:
        kind = node.kind if node.kind != "auto" else ("tpe" if objectives == 1 else "nsgaii")
        require_choice("sweep.sampler", kind, ("auto", *KINDS))
    else:
        kind = str(node._target_).rpartition(".")[2].removesuffix("Sampler").lower()
    if kind in ("cmaes", "evolution") and objectives > 1:
        raise ConfigError(
            f"sweep.sampler={kind} improves one objective; for several use sweep.sampler=nsgaii."
        )
    return kind
