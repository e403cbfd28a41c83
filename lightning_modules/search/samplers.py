"""Who chooses the next trial's parameters."""

import zlib
from collections.abc import Mapping
from typing import Any

from optuna.samplers import BaseSampler

from lightning_modules.search.schema import SAMPLERS, kind_of, made


def sampler_for(
    sampler: str | Mapping[str, Any], *, number: int, seed: int, objectives: int
) -> BaseSampler:
    """The sampler of one trial; its draws follow from the seed and the trial's number.

    A sampler that is kept draws otherwise after a resume: with its first numbers, which finished
    trials had already. What a sampler must know it reads from the study.

    Args:
        sampler: a registered name, or a node with a `_target_`.
        number: of the trial.
        seed: of the run, where the node has none.
        objectives: how many.

    Raises:
        ConfigError: it cannot be built, or is no sampler.
    """
    kind, chosen = kind_of(sampler, objectives), sampler
    if isinstance(sampler, str) or kind == "grid":
        chosen = kind
    elif sampler.get("seed") is not None:
        seed = sampler["seed"]
    own = zlib.crc32(f"{seed}/{number}".encode())
    return made(SAMPLERS, chosen, "sweep.sampler", seed=own)
