"""Who chooses the next trial's parameters."""

import zlib
from collections.abc import Mapping
from typing import Any

from optuna.samplers import BaseSampler

from lightning_modules.registry import build, takes
from lightning_modules.search.schema import SAMPLERS, kind_of


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
    kind = kind_of(sampler, objectives)
    node = {} if isinstance(sampler, str) else dict(sampler)
    given = node.pop("seed", None)
    own = zlib.crc32(f"{seed if given is None else given}/{number}".encode())
    if not node or kind == "grid":
        return SAMPLERS.load(kind, "sweep.sampler")(seed=own)
    made = build(node, seed=own) if takes(node, "seed") else build(node)
    return SAMPLERS.part(made, "sweep.sampler")
