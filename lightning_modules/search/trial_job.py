"""One trial, seen from inside its job: limits before the training, then the objectives."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, ListConfig

from lightning_modules.config import COMPOSING
from lightning_modules.errors import ConfigError
from lightning_modules.files import write_json
from lightning_modules.registry import plain
from lightning_modules.runs import build_source
from lightning_modules.search.objectives import directions_of, penalties

OVER_LIMITS = "over_limits.json"  # in a trial's folder: its network's costs and how far over


def run_trial(
    cfg: DictConfig, hydra: DictConfig, run_experiment: Callable[[], dict[str, Any]]
) -> float | list[float]:
    """What a search is told of a trial: its objectives, or how far over its limits it is.

    Without compression the limits are checked before anything is trained or any image read; a
    compressed network's costs are known at the end.
    `run_experiment` is the whole run and returns its metrics.
    """
    limits = limits_of(cfg)
    measured: dict[str, Any] = {}
    if limits and not cfg.compression:
        measured = meta_costs(cfg, len(build_source(cfg.data).check()))
    if not violation(measured, limits):
        measured = run_experiment()
    if "latency_ms" in limits and (
        reasons := _reasons("cost/latency_ms", measured.get("missing", {}))
    ):
        raise ConfigError(
            f"sweep.limits.latency_ms needs the latency, which is missing: {reasons[0]}"
        )
    over = violation(measured, limits)
    if not over:
        return objective_values(cfg.objective, measured)
    costs = {name: value for name, value in measured.items() if name.startswith("cost/")}
    folder = Path(hydra.runtime.output_dir)
    write_json(folder / OVER_LIMITS, {"costs": costs, "violation": over})
    found = penalties(directions_of(hydra), over)
    return found[0] if isinstance(cfg.objective, str) else found


def objective_values(names: str | ListConfig, metrics: dict[str, Any]) -> float | list[float]:
    """The metrics that a search improves.

    Raises:
        ConfigError: the run measured no such thing: no test split, no latency, no such class.
    """
    wanted = [names] if isinstance(names, str) else list(names)
    for name in wanted:
        if name not in metrics:
            if reasons := _reasons(name, metrics.get("missing", {})):
                raise ConfigError(f"objective {name} is missing: {reasons[0]}")
            raise ConfigError(
                f"objective {name} was not measured: test/* needs data with a test split, "
                "cost/latency_ms and score/time need latency.backend=onnxruntime, val/agreement a "
                "teacher, and a class its name in the data."
            )
    found = [metrics[name] for name in wanted]
    return found[0] if isinstance(names, str) else found


def _reasons(name: str, missing: Mapping[str, str]) -> list[str]:
    """Why a metric is not there, where the part of the run that gives it failed."""
    parts = {"cost/latency": ("latency",), "score": ("latency", "score", "evaluation")}
    parts["val/agreement"] = ("agreement",)
    sources = next((p for start, p in parts.items() if name.startswith(start)), ("evaluation",))
    return [missing[part] for part in sources if part in missing]


def limits_of(cfg: DictConfig) -> dict[str, float]:
    """The limits that are set, by the name of the cost."""
    return {name: limit for name, limit in plain(cfg.sweep.limits).items() if limit is not None}


def violation(costs: Mapping[str, float], limits: Mapping[str, float]) -> float:
    """By how much costs (`cost/macs`, ...) exceed their limits: the sum of the excess ratios.

    0 where all are met; 0.5 where the MACs are half as many again as allowed.
    """
    known = {name: costs[f"cost/{name}"] for name in limits if f"cost/{name}" in costs}
    return sum(max(0.0, cost / limits[name] - 1) for name, cost in known.items())


def meta_costs(cfg: DictConfig, num_classes: int) -> dict[str, float]:
    """The counted costs of the network that the configuration describes, without its weights."""
    from lightning_modules.evaluation.metrics import cost_metrics  # torch
    from lightning_modules.networks import meta_network

    size = cfg.data.image_size
    network = meta_network(cfg.model, num_classes=num_classes, image_size=size)
    return cost_metrics(network, network.image_size)


def excess_of(root: DictConfig, overrides: list[str]) -> float:
    """How far over the limits the network of a trial with these overrides is.

    0 also where that is known only later: a network to be compressed, and one that cannot be.
    """
    limits = limits_of(root)
    if not limits.keys() & {"macs", "params", "activation_bytes"}:
        return 0.0
    try:
        cfg = GlobalHydra.instance().config_loader().load_sweep_config(root, overrides)
        if cfg.compression:
            return 0.0
        return violation(meta_costs(cfg, len(build_source(cfg.data).check())), limits)
    except COMPOSING:
        return 0.0  # the trial will fail, and say why
