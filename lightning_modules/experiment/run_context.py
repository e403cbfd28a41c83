"""What all stages of one run share, and what a compression step may look at of it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import nn

from compression.context import Context
from compression.cost import data_bytes
from compression.engine import entry_latency
from compression.latency import RelativeLatency
from compression.step import Step
from datamodules.loading import ImageData
from lightning_modules.evaluation import Predictions, predict, split_metrics
from lightning_modules.experiment.stages import Stage
from lightning_modules.registry import plain
from lightning_modules.reporting import RunLoggers
from lightning_modules.runs import saved_run
from lightning_modules.training import build_loss, device_name, first_device


@dataclass(frozen=True)
class RunContext:
    """What all fits of one run share.

    Attributes:
        cfg: the composed configuration.
        data: as configured; prepared before the first fit.
        folder: the run directory.
        loggers: of the run, in the process that leads it.
    """

    cfg: DictConfig
    data: ImageData
    folder: Path
    loggers: RunLoggers = field(default_factory=RunLoggers)

    @property
    def device(self) -> torch.device:
        """Where networks are evaluated: on the first device that trains."""
        return first_device(self.cfg.trainer)

    @property
    def trust(self) -> set[str]:
        """Packages whose networks and steps a saved network of this run may name."""
        return saved_run.trusted_packages(self.cfg)

    def checkpoints(self, stage: Stage) -> Path:
        """Where a stage's checkpoints lie."""
        return self.folder / "steps" / stage.name / "checkpoints"


def validation_metrics(network: nn.Module, run: RunContext) -> dict[str, float]:
    """`val/f1`, `val/accuracy` and `val/loss` of a network."""
    return split_metrics(validation_predictions(network, run), split="val")


def validation_predictions(network: nn.Module, run: RunContext) -> Predictions:
    """A network's predictions for the validation images."""
    return predict(network, run.data.val_dataloader(), device=run.device)


def step_context(
    step: Step,
    run: RunContext,
    entry_metrics: Mapping[str, float],
    latency: RelativeLatency,
    *,
    fine_tuned: bool = False,
) -> Context:
    """The context of a step.

    Args:
        step: of the run.
        run: has the data.
        entry_metrics: `cost/macs` and `cost/params` of the network that enters the step.
        latency: relative to that network.
        fine_tuned: whether the network is trained after it.
    """
    data = run.data
    costs = {name: entry_metrics[f"cost/{name}"] for name in ("macs", "params")}
    size = data_bytes(latency.reference)  # the metric counts the file's header
    return Context(
        sample=next(iter(data.val_dataloader()))[0][:8],
        image_size=data.image_size,
        seed=run.cfg.seed,
        train_batches=data.train_eval_batches,
        val_batches=data.val_dataloader,
        loss=build_loss(run.cfg.loss, class_counts=data.class_counts["train"]),
        evaluate=lambda candidate: validation_metrics(candidate, run),
        entry_cost={**costs, "file_bytes": size, **entry_latency(step, latency)},
        relative_latency=latency,
        scans=scans_folder(run),
        fine_tuned=fine_tuned,
    )


def scans_folder(run: RunContext) -> Path:
    """Below the cache: where sensitivity scans on just this data are kept, shared by all runs.

    The name is a digest of all that the metrics of a network follow from, but for the network.
    """
    data, cfg = run.data, run.cfg
    parts = {
        "images": [data.key("train"), data.key("val")],
        "size": data.image_size,
        "batches": [data.batch_size, data.eval_batch_size],
        "order": [data.seed, cfg.sampling],
        "loss": plain(cfg.loss),
        "device": device_name(run.device),
    }
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
    return Path(cfg.cache_dir) / "sensitivity" / digest[:24]
