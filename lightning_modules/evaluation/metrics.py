"""The figures of `metrics.json`: of each stage, of the final network, and measured latency."""

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig
from torch import nn

from compression.cost.activations import activation_bytes
from compression.cost.macs import count_macs, count_params
from compression.latency.measure import measure_latency
from lightning_modules.distillation.teachers import Teacher
from lightning_modules.evaluation.agreement import agreement
from lightning_modules.evaluation.calibration import reliability
from lightning_modules.evaluation.class_report import class_figures
from lightning_modules.evaluation.evaluation import evaluate, split_figures
from lightning_modules.evaluation.predictions import Answers, ask
from lightning_modules.experiment.run_context import Session
from lightning_modules.registry import build


def validation_figures(network: nn.Module, session: Session) -> dict[str, float]:
    """`val/f1`, `val/accuracy` and `val/loss` of a network."""
    return evaluate(network, session.data.val_dataloader(), device=session.device)


def cost_figures(network: nn.Module, session: Session) -> dict[str, float]:
    """`cost/*` but for file and latency, at the data's image size."""
    size = session.data.image_size
    return {
        "cost/macs": count_macs(network, image_size=size),
        "cost/params": count_params(network),
        "cost/activation_bytes": activation_bytes(network, size),
    }


def final_answers(network: nn.Module, session: Session) -> dict[str, Answers]:
    """What the shipped network says of `val` and, where it is labelled, `test`."""
    batches = {"val": session.data.val_dataloader()}
    if session.data.has_test:
        batches["test"] = session.data.test_dataloader()
    return {split: ask(network, some, device=session.device) for split, some in batches.items()}


def final_figures(
    answers: dict[str, Answers],
    session: Session,
    results: list[dict[str, Any]],
    teachers: Sequence[Teacher] = (),
) -> dict[str, Any]:
    """What `metrics.json` says, but for latency and scores.

    Args:
        answers: of the shipped network, by split.
        session: what the run's stages share.
        results: the stages' figures, in order.
        teachers: all that taught in any stage.
    """
    classes = session.data.class_names
    figures, by_class = {}, {}
    for split, given in answers.items():
        figures |= answer_figures(given, split=split)
        by_class |= class_figures(classes, given.confusion, split=split)
    return {
        **figures,
        **results[-1]["after"],
        **by_class,
        **_agreement(answers["val"], session, teachers),
        "kept": session.cfg.trainer.keep,
        "epoch": results[-1]["epoch"],
        "seed": session.cfg.seed,
        **_fold(session.cfg.data),
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


def _agreement(student: Answers, session: Session, teachers: Sequence[Teacher]) -> dict[str, float]:
    if not teachers:
        return {}
    return agreement(
        student,
        teachers,
        session.data.val_dataloader(),
        distillation=build(session.cfg.distillation),
        device=session.device,
    )


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
