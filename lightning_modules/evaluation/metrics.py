"""The figures of `metrics.json`: of each stage, of the final network, and measured latency."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn

from compression.cost.activations import activation_bytes
from compression.cost.macs import count_macs, count_params
from compression.latency.measure import measure_latency
from datamodules.loading.image_data import ImageData
from lightning_modules.evaluation.calibration import reliability
from lightning_modules.evaluation.class_report import class_figures
from lightning_modules.evaluation.predictions import Answers, Batches, ask
from lightning_modules.training.classifier import classification_metrics


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
    return split_figures(ask(network, batches, device=device), split=split)


def split_figures(answers: Answers, *, split: str) -> dict[str, float]:
    """The same of a network's answers to a split."""
    found = classification_metrics(answers.logits.shape[1])(answers.logits, answers.labels)
    figures = {**found, "loss": answers.losses.mean()}
    return {f"{split}/{name}": value.item() for name, value in figures.items()}


def cost_figures(network: nn.Module, image_size: tuple[int, int]) -> dict[str, float]:
    """`cost/*` but for file and latency, of one image of (H, W) pixels."""
    return {
        "cost/macs": count_macs(network, image_size=image_size),
        "cost/params": count_params(network),
        "cost/activation_bytes": activation_bytes(network, image_size),
    }


def final_answers(network: nn.Module, data: ImageData, device: torch.device) -> dict[str, Answers]:
    """What the shipped network says of `val` and, where it is labelled, `test`."""
    batches = {"val": data.val_dataloader()}
    if data.has_test:
        batches["test"] = data.test_dataloader()
    return {split: ask(network, some, device=device) for split, some in batches.items()}


def final_figures(
    answers: dict[str, Answers],
    classes: Sequence[str],
    cfg: DictConfig,
    results: list[dict[str, Any]],
    agreement: Mapping[str, float],
) -> dict[str, Any]:
    """What `metrics.json` says, but for latency and scores.

    Args:
        answers: of the shipped network, by split.
        classes: their names, in order.
        cfg: the run's configuration.
        results: the stages' figures, in order.
        agreement: `val/agreement` with the teachers; empty where none taught.
    """
    figures, by_class = {}, {}
    for split, given in answers.items():
        figures |= answer_figures(given, split=split)
        by_class |= class_figures(classes, given.confusion, split=split)
    return {
        **figures,
        **results[-1]["after"],
        **by_class,
        **agreement,
        "kept": cfg.trainer.keep,
        "epoch": results[-1]["epoch"],
        "seed": cfg.seed,
        **_fold(cfg.data),
        "steps": results,
        "confusion": {"classes": list(classes), **_confusions(answers)},
    }


def answer_figures(answers: Answers, *, split: str) -> dict[str, float]:
    """`<split>/f1`, `accuracy`, `loss` and `calibration_error` of a network's answers."""
    error = {f"{split}/calibration_error": reliability(answers).error}
    return {**split_figures(answers, split=split), **error}


def _confusions(answers: dict[str, Answers]) -> dict[str, list[list[int]]]:
    """By split; rows are true classes, columns predicted ones."""
    return {split: given.confusion for split, given in answers.items()}


def _fold(data: DictConfig) -> dict[str, int]:
    """Which part of a cross-validation this run is, where it is one."""
    if data.get("fold") is None:
        return {}
    return {"fold": data.fold, "num_folds": data.num_folds}


def add_latency(
    metrics: dict[str, Any],
    networks: Sequence[nn.Module],
    settings: DictConfig,
    *,
    image_size: tuple[int, int],
) -> None:
    """Measures all networks of a run alternately and puts `cost/latency_ms` where it belongs.

    Args:
        metrics: of `final_figures`; changed in place.
        networks: as they stood before the first compression step and after each stage.
        settings: `backend`, `threads` and `batch`.
        image_size: (H, W) in pixels.
    """
    measured = measure_latency(networks, image_size=image_size, **settings)
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
    metrics["latency"] = {**settings, "device": last.device}
