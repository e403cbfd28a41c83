"""What a search improves: names of metrics and the direction of each."""

import math
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, ListConfig

from lightning_modules.errors import ConfigError
from lightning_modules.runs.metrics_record import is_measured
from lightning_modules.schema import is_number

PENALTY = 1e12  # above all that is minimised: activation bytes stay below 1e12
USUAL = (
    "val/f1, val/accuracy, val/loss, test/f1, cost/macs, cost/params, cost/latency_ms, score/macs"
)


def check_objectives(cfg: DictConfig) -> None:
    """Refuses objectives that no run logs.

    Raises:
        ConfigError: with the names of the usual ones.
    """
    names = objectives_of(cfg)
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"objective={list(names)}; name one metric or several different ones.")
    for name in names:
        if not is_measured(name) or "/support/" in name:
            raise ConfigError(
                f"objective {name} is not measured; there are {USUAL}, score/macs, score/time and "
                "the other metrics of a run's metrics.json."
            )


def objectives_of(root: DictConfig) -> list[str]:
    """The names of the metrics that trials return, in order.

    Raises:
        ConfigError: these are no names.
    """
    names = [root.objective] if isinstance(root.objective, str) else root.objective
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"objective={names}; name one metric or several different ones.")
    return list(names)


def directions_of(hydra: DictConfig) -> list[str]:
    """`maximize` or `minimize` for each objective, of a `hydra` node; the schema checks that."""
    words = hydra.sweeper.direction
    words = list(words) if isinstance(words, ListConfig) else [words]
    return [getattr(word, "name", word) for word in words]  # the plugin has an enum of them


def checked_values(returned: Any, names: Sequence[str]) -> list[float]:
    """The numbers that a trial returned, one for each objective.

    Raises:
        ConfigError: there are others, or one is NaN or infinite.
    """
    values = list(returned) if isinstance(returned, list | tuple) else [returned]
    if len(values) != len(names):
        raise ConfigError(f"the trial returned {len(values)} values for {len(names)} objectives.")
    for name, value in zip(names, values, strict=True):
        if not is_number(value) or not math.isfinite(value):
            raise ConfigError(f"the objective {name} is {value}, which is no finite number.")
    return [float(value) for value in values]


def penalties(directions: Sequence[str], violation: float) -> list[float]:
    """Values for a network over its limits: worse than all others, and the more so the farther.

    Metrics are never negative, so a maximised one is `-violation`, below all that is measured.
    """
    worse = {"maximize": -violation, "minimize": PENALTY * (1 + violation)}
    return [worse[direction] for direction in directions]
