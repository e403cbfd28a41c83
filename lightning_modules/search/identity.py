"""What makes two searches the same study, and its name and directory by default."""

import hashlib
import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from lightning_modules.registry import plain
from lightning_modules.runs import NEUTRAL, joined
from lightning_modules.search.objectives import directions_of, objectives_of
from lightning_modules.search.space import bare, search_space

# Settings of a sweep that may change while its study goes on.
BUDGET = (
    "n_trials",
    "parallel",
    "max_failure_rate",
    "name",
    "mark_failed",
    "params",
    "sampler",
    "redraws",
)


def identity(root: DictConfig) -> dict[str, Any]:
    """What a study is about, as plain data: two commands that agree in it continue one study.

    How many trials, where they run and where they are stored is not in it, nor what changes no
    figure, such as the logger.
    """
    space = search_space(root)
    settings = plain(root.sweep)
    objectives, directions = objectives_of(root), directions_of(root)
    own = {k: v for k, v in settings.items() if k not in (*BUDGET, "objective", "direction")}
    return {
        "space": {"params": space.params, **own},
        "objectives": objectives,
        "directions": directions,
        "fixed overrides": sorted(line for line in space.fixed if not _is_neutral(line)),
    }


def study_name(root: DictConfig) -> str:
    """`<sweep>_<model>_<data>_<8 hex>`; models and data that are swept over are left out."""
    found = identity(root)
    swept = found["space"]["params"]
    choices = root.hydra.runtime.choices
    fixed = [choices[group] for group in ("model", "data") if group not in swept]
    words = [root.sweep.name, *fixed, digest(found)]
    return joined(words)


def study_folder(root: DictConfig) -> Path:
    """Where a search leaves everything unless `hydra.sweep.dir` says otherwise."""
    return Path(root.outputs_dir) / "studies" / joined([str(root.hydra.sweeper.study_name)])


def digest(content: Any) -> str:
    """Eight hexadecimal digits of plain data."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _is_neutral(line: str) -> bool:
    key = bare(line.split("=", 1)[0])
    return any(key == node or key.startswith(f"{node}.") for node in NEUTRAL)
