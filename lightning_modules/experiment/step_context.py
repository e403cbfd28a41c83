"""What a compression step may look at within an experiment."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from omegaconf import OmegaConf

from compression.engine import entry_latency
from compression.latency.relative_latency import RelativeLatency
from compression.step import CompressionStep, Context
from lightning_modules.experiment.run_context import RunContext, validation_metrics
from lightning_modules.training.losses.building import build_loss


def step_context(
    step: CompressionStep,
    run: RunContext,
    entered: Mapping[str, float],
    latency: RelativeLatency,
) -> Context:
    """The context of a step.

    Args:
        step: of the run.
        run: has the data.
        entered: `cost/macs` and `cost/params` of the network that enters the step.
        latency: relative to that network.
    """
    data = run.data
    costs = {name: entered[f"cost/{name}"] for name in ("macs", "params")}
    return Context(
        sample=next(iter(data.val_dataloader()))[0][:8],
        image_size=data.image_size,
        seed=run.cfg.seed,
        train_batches=data.train_eval_batches,
        val_batches=data.val_dataloader,
        loss=build_loss(run.cfg.loss, class_counts=data.class_counts["train"]),
        evaluate=lambda candidate: validation_metrics(candidate, run),
        entry_cost={**costs, **entry_latency(step, latency)},
        relative_latency=latency,
        scans=scans_folder(run),
    )


def scans_folder(run: RunContext) -> Path:
    """Below the cache: where sensitivity scans on just this data are kept, shared by all runs.

    The name is a digest of all that the figures of a network follow from, but for the network.
    """
    data, cfg = run.data, run.cfg
    device = run.device
    facts = {
        "images": [data.key("train"), data.key("val")],
        "size": data.image_size,
        "batches": [data.batch_size, data.eval_batch_size],
        "order": [data.seed, data.sampling],
        "loss": OmegaConf.to_container(cfg.loss, resolve=True),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
    return Path(cfg.cache_dir) / "sensitivity" / digest[:24]
