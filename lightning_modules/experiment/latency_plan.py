"""How a run's latency is measured: tried before training, on the network's random weights."""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import nn

from compression.latency import MakePass
from compression.onnx import Exportability, try_export
from lightning_modules.deployment import latency_backend, name_of
from lightning_modules.errors import ConfigError
from lightning_modules.files import write_text
from lightning_modules.registry import plain
from lightning_modules.search import objectives_of

log = logging.getLogger(__name__)

BY_ONNX = ("onnxruntime", "openvino")  # backends that are given an ONNX file


@dataclass(frozen=True)
class LatencyPlan:
    """What a run times its networks in.

    Attributes:
        name: of the configured backend.
        backend: see `measure_latency`.
        batch: images a call.
        asked: the words of the command that need this very figure; None: it is only shown.
        instead: why that is not what was configured, in one sentence; empty where it is.
    """

    name: str
    backend: str | MakePass
    batch: int
    asked: str | None = None
    instead: str = ""


def plan_latency(
    cfg: DictConfig, network: nn.Module, image_size: tuple[int, int], *, asked: str | None
) -> LatencyPlan:
    """What the networks of a run can be timed in, tried on the one that the run begins with.

    What is measured otherwise than configured is said at once.

    Args:
        cfg: the run's configuration; `latency.backend` is not null.
        network: of any weights; stays as it is.
        image_size: (H, W) in pixels.
        asked: see `LatencyPlan`.

    Raises:
        ConfigError: the figure was asked for and cannot be had.
    """
    configured = plain(cfg.latency)["backend"]
    batch = cfg.latency.batch
    plan = LatencyPlan(name_of(configured), latency_backend(configured), batch, asked)
    if configured not in BY_ONNX:
        return plan
    found = _tried(network, image_size, Path(cfg.cache_dir))
    if found.batch == "free" or (found.batch == "fixed" and batch == 1):
        return plan
    if asked is not None:
        if cfg.resume is not None:  # what is trained is shipped; the figure is what fails
            return plan
        raise ConfigError(
            f"{asked} needs a latency that {plan.name} cannot measure at batch {batch}: "
            f"{found.reason.rstrip('.')}; latency.backend=eager can."
        )
    cannot, reason = f"{plan.name} latency can't be measured", found.reason.rstrip(".")
    if found.batch == "none":
        instead = f"{cannot}: {reason}; measured in eager mode instead."
        plan = replace(plan, backend="eager", instead=instead)
    else:
        instead = f"{cannot} at batch {batch}: {reason}; measured at 1."
        plan = replace(plan, batch=1, instead=instead)
    log.info(plan.instead)
    return plan


def _tried(network: nn.Module, image_size: tuple[int, int], cache_dir: Path) -> Exportability:
    """See `try_export`, which takes seconds: what can be exported is so the next time, too.

    Nothing else is kept, for a change of its code may help a network that cannot.
    """
    shapes = [tuple(tensor.shape) for tensor in network.state_dict().values()]
    key = repr((network, shapes, image_size, torch.__version__)).encode()
    kept = cache_dir / "exports" / hashlib.sha256(key).hexdigest()[:24]
    if kept.is_file():
        return Exportability("free")
    found = try_export(network, image_size)
    if found.batch == "free":
        write_text(kept, "free\n")
    return found


def latency_askers(cfg: DictConfig) -> Iterator[str]:
    """The words of a configuration that need the final network's latency."""
    for name in objectives_of(cfg):
        if name.startswith("cost/latency") or name == "score/time":
            yield f"objective={name}"
    if cfg.sweep.limits.latency_ms is not None:
        yield f"sweep.limits.latency_ms={cfg.sweep.limits.latency_ms}"


def latency_targets(cfg: DictConfig) -> Iterator[str]:
    """The words of a configuration that give a step a latency to reach."""
    for step, node in cfg.compression.items():
        target = node.get("target")
        ratio = target.get("latency") if isinstance(target, DictConfig) else None
        if ratio is not None:
            yield f"compression.{step}.target.latency={ratio}"
