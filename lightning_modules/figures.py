"""The figures of `metrics.json`: of each stage, of the final network, and measured latency."""

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig
from torch import nn

from compression.activations import activation_bytes
from compression.cost import count_macs, count_params
from compression.latency import measure_latency
from lightning_modules.evaluation import evaluate
from lightning_modules.session import Session


def validation_figures(network: nn.Module, session: Session) -> dict[str, float]:
    """`val/f1`, `val/accuracy` and `val/loss` of a network."""
    return _evaluate(network, session, "val")


def network_figures(network: nn.Module, session: Session) -> dict[str, float]:
    """The validation figures, and `cost/*` but for file and latency, at the data's image size."""
    size = session.data.image_size
    return {
        **validation_figures(network, session),
        "cost/macs": count_macs(network, image_size=size),
        "cost/params": count_params(network),
        "cost/activation_bytes": activation_bytes(network, size),
    }


def final_figures(
    network: nn.Module, session: Session, results: list[dict[str, Any]]
) -> dict[str, Any]:
    """What `metrics.json` says, but for the latency.

    Args:
        network: as shipped.
        session: what the run's stages share.
        results: the stages' figures, in order.
    """
    test = _evaluate(network, session, "test") if session.data.has_test else {}
    return {
        **results[-1]["after"],
        **test,
        "kept": session.cfg.trainer.keep,
        "epoch": results[-1]["epoch"],
        "seed": session.cfg.seed,
        **_fold(session.cfg.data),
        "steps": results,
    }


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


def _evaluate(network: nn.Module, session: Session, split: str) -> dict[str, float]:
    data = session.data
    return evaluate(
        network,
        data.test_dataloader() if split == "test" else data.val_dataloader(),
        num_classes=data.num_classes,
        split=split,
        device=session.device,
    )
