"""Hard limits on what a network may cost: one over them is not trained."""

from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig

from lightning_modules.files import write_json

COUNTED = ("macs", "params", "activation_bytes")  # known of a network without running it
OVER_LIMITS = "over_limits.json"  # in a trial's folder: its network's costs and how far over


def violation(costs: Mapping[str, float], limits: Mapping[str, float]) -> float:
    """By how much costs (`cost/macs`, ...) exceed their limits: the sum of the excess ratios.

    0 where all are met; 0.5 where the MACs are half as many again as allowed.
    """
    known = {name: costs[f"cost/{name}"] for name in limits if f"cost/{name}" in costs}
    return sum(max(0.0, cost / limits[name] - 1) for name, cost in known.items())


def meta_costs(cfg: DictConfig, num_classes: int) -> dict[str, int]:
    """The counted costs of the network that the configuration describes, without its weights."""
    from compression.cost import activation_bytes, count_macs, count_params
    from lightning_modules.networks import meta_network

    size = cfg.data.image_size
    network = meta_network(cfg.model, num_classes=num_classes, image_size=size)
    size = network.image_size
    return {
        "cost/macs": count_macs(network, size),
        "cost/params": count_params(network),
        "cost/activation_bytes": activation_bytes(network, size),
    }


def refuse(folder: Path, costs: Mapping[str, float], over: float) -> None:
    """Leaves in the trial's folder what its search must know."""
    found = {name: value for name, value in costs.items() if name.startswith("cost/")}
    write_json(folder / OVER_LIMITS, {"costs": found, "violation": over})
