"""The metrics of `metrics.json`: of each stage, of the final network, and measured latency."""

from collections.abc import Sequence
from statistics import mean
from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn

from compression.cost import activation_bytes, count_macs, count_params
from compression.latency import MakePass, measure_latency
from datamodules.loading import ImageData
from lightning_modules.evaluation.calibration import reliability
from lightning_modules.evaluation.class_report import class_metrics, class_rows
from lightning_modules.evaluation.predictions import Batches, Predictions, predict
from lightning_modules.runs import StageRecord
from lightning_modules.training import classification_metrics


def evaluate(
    network: nn.Module,
    batches: Batches,
    *,
    split: str = "val",
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """`{"<split>/f1", "<split>/accuracy", "<split>/loss"}` of a network.

    Args:
        network: uint8 N x 3 x H x W -> logits N x classes; its mode and device are restored.
        batches: (images, labels) pairs.
        split: first part of the keys.
        device: where the network runs meanwhile.
    """
    return split_metrics(predict(network, batches, device=device), split=split)


def split_metrics(predictions: Predictions, *, split: str) -> dict[str, float]:
    """The same of a network's predictions for a split."""
    found = classification_metrics(predictions.logits.shape[1])(
        predictions.logits, predictions.labels
    )
    metrics = {**found, "loss": predictions.losses.mean()}
    return {f"{split}/{name}": value.item() for name, value in metrics.items()}


def cost_metrics(network: nn.Module, image_size: tuple[int, int]) -> dict[str, float]:
    """`cost/*` but for file and latency, of one image of (H, W) pixels."""
    return {
        "cost/macs": count_macs(network, image_size=image_size),
        "cost/params": count_params(network),
        "cost/activation_bytes": activation_bytes(network, image_size),
    }


def final_predictions(
    network: nn.Module, data: ImageData, device: torch.device
) -> dict[str, Predictions]:
    """The final network's predictions for `val` and, where it is labelled, `test`."""
    batches = {"val": data.val_dataloader()}
    if data.has_test:
        batches["test"] = data.test_dataloader()
    return {split: predict(network, some, device=device) for split, some in batches.items()}


def final_metrics(
    predictions: dict[str, Predictions],
    classes: Sequence[str],
    cfg: DictConfig,
    results: list[StageRecord],
) -> dict[str, Any]:
    """What `metrics.json` says, but for agreement with teachers, latency and scores.

    Args:
        predictions: of the final network, by split; without any, the stages' metrics are all.
        classes: their names, in order.
        cfg: the run's configuration.
        results: the stages' metrics, in order.
    """
    metrics: dict[str, float] = {}
    class_values: dict[str, float] = {}
    for split, found in predictions.items():
        metrics |= prediction_metrics(found, split=split)
        class_values |= class_metrics(classes, found.confusion, split=split)
    return {
        **metrics,
        **results[-1]["after"],
        **class_values,
        "kept": cfg.trainer.keep,
        "epoch": results[-1]["epoch"],
        "seed": cfg.seed,
        **_fold(cfg.data),
        "steps": results,
        "confusion": {"classes": list(classes), **_confusions(predictions)},
    }


def prediction_metrics(
    predictions: Predictions, *, split: str, present_only: bool = False
) -> dict[str, float]:
    """`<split>/f1`, `accuracy`, `loss` and `calibration_error` of a network's predictions.

    Args:
        predictions: of the network, for all its classes.
        split: first part of the keys.
        present_only: take the mean F1 over the classes that have images: of data that has only
            some of the network's classes, the others are predicted wrongly but are no classes.
    """
    error = {f"{split}/calibration_error": reliability(predictions).error}
    metrics = {**split_metrics(predictions, split=split), **error}
    if present_only:
        rows = class_rows([""] * len(predictions.confusion), predictions.confusion)
        metrics[f"{split}/f1"] = mean(row.f1 for row in rows if row.support and row.f1 is not None)
    return metrics


def _confusions(predictions: dict[str, Predictions]) -> dict[str, list[list[int]]]:
    """By split; rows are true classes, columns predicted ones."""
    return {split: found.confusion for split, found in predictions.items()}


def _fold(data: DictConfig) -> dict[str, int]:
    """Which part of a cross-validation this run is, where it is one."""
    if data.get("fold") is None:
        return {}
    return {"fold": data.fold, "num_folds": data.num_folds}


def add_latency(
    metrics: dict[str, Any],
    networks: Sequence[nn.Module],
    *,
    backend: str | MakePass,
    threads: int,
    batch: int,
    image_size: tuple[int, int],
) -> None:
    """Measures all networks of a run alternately and puts `cost/latency_ms` where it belongs.

    Args:
        metrics: of `final_metrics`; changed in place.
        networks: as they stood before the first compression step and after each stage.
        backend, threads, batch: see `measure_latency`.
        image_size: (H, W) in pixels.
    """
    measured = measure_latency(
        networks, image_size=image_size, backend=backend, threads=threads, batch=batch
    )
    steps = metrics["steps"]
    if len(measured) > len(steps):  # the run started from another one's network
        steps[0]["before"]["cost/latency_ms"] = measured[0].median_ms
    for previous, step, latency in zip(
        [None, *steps], steps, measured[-len(steps) :], strict=False
    ):
        if previous is not None:
            step["before"]["cost/latency_ms"] = previous["after"]["cost/latency_ms"]
        step["after"]["cost/latency_ms"] = latency.median_ms
    last = measured[-1]
    metrics["cost/latency_ms"], metrics["cost/latency_iqr_ms"] = last.median_ms, last.iqr_ms
    metrics["latency"] = {
        "backend": last.backend,
        "threads": last.threads,
        "batch": last.batch,
        "device": last.device,
        **({"instead": last.note} if last.note else {}),
    }
