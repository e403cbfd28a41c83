"""One trial, seen from inside its job: limits before the training, then the objectives."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig

from lightning_modules.errors import ConfigError
from lightning_modules.registry import build
from lightning_modules.search.cost_limits import meta_costs, refuse, violation
from lightning_modules.search.objectives import direction_words, penalties
from lightning_modules.search.schema import limits_of


def run_trial(
    cfg: DictConfig, hydra: DictConfig, run_experiment: Callable[[], dict[str, Any]]
) -> float | list[float]:
    """What a search is told of a trial: its objectives, or how far over its limits it is.

    Without compression the limits are checked before anything is trained or any image read; a
    compressed network's costs are known at the end.

    Args:
        cfg: the trial's configuration.
        hydra: its `hydra` node.
        run_experiment: the whole run; returns its metrics.
    """
    limits, measured = limits_of(cfg), {}
    if limits and not cfg.compression:
        measured = meta_costs(cfg, len(build(cfg.data.source).check()))
    if not violation(measured, limits):
        measured = run_experiment()
    over = violation(measured, limits)
    if not over:
        return objective_values(cfg.objective, measured)
    refuse(Path(hydra.runtime.output_dir), measured, over)
    found = penalties(direction_words(hydra.sweeper.direction), over)
    return found[0] if isinstance(cfg.objective, str) else found


def objective_values(names: str | ListConfig, metrics: dict[str, Any]) -> float | list[float]:
    """The metrics that a search improves.

    Raises:
        ConfigError: the run measured no such thing: no test split, no latency, no such class.
    """
    wanted = [names] if isinstance(names, str) else list(names)
    for name in wanted:
        if name not in metrics:
            raise ConfigError(
                f"objective {name} was not measured: test/* needs data with a test split, "
                "cost/latency_ms and score/time need latency.backend=onnxruntime, val/agreement a "
                "teacher, and a class its name in the data."
            )
    found = [metrics[name] for name in wanted]
    return found[0] if isinstance(names, str) else found
