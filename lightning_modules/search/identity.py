"""What makes two searches the same study, and its name by default."""

import hashlib
import json
from typing import Any

from omegaconf import DictConfig

from lightning_modules.registry import plain
from lightning_modules.runs import NEUTRAL, joined
from lightning_modules.search.objectives import directions_of, objectives_of
from lightning_modules.search.space import bare, search_space

# Settings of a sweep that may change while its study goes on, or stand elsewhere.
BUDGET = {
    "n_trials", "parallel", "max_failure_rate", "mark_failed", "silent_minutes", "sampler",
    "redraws",
}  # fmt: skip
ELSEWHERE = {"name", "params", "objective", "direction"}


def identity(root: DictConfig) -> dict[str, Any]:
    """What a study is about, as plain data: two commands that agree in it continue one study.

    How many trials, where they run and where they are stored is not in it, nor what changes no
    figure, such as the logger.
    """
    space, own = search_space(root), plain(root.sweep)
    for key in BUDGET | ELSEWHERE:
        own.pop(key, None)
    neutral = tuple(f"{node}." for node in NEUTRAL)
    fixed = (line for line in space.fixed if not f"{bare(line.split('=')[0])}.".startswith(neutral))
    return {
        "space": {"params": space.params, **own},
        "objectives": objectives_of(root),
        "directions": directions_of(root.hydra),
        "fixed overrides": sorted(fixed),
    }


def study_name(root: DictConfig) -> str:
    """`<sweep>_<model>_<data>_<8 hex>`; models and data that are swept over are left out."""
    about, choices = identity(root), root.hydra.runtime.choices
    fixed = [choices[k] for k in ("model", "data") if k not in about["space"]["params"]]
    return joined([root.sweep.name, *fixed, digest(about)])


def digest(content: Any) -> str:
    """Eight hexadecimal digits of plain data."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
