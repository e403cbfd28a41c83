"""`score/macs` and `score/time` of `metrics.json`: accuracy and cost in one number."""

from typing import Any

from omegaconf import DictConfig
from torch import nn

from compression.cost.macs import count_macs
from lightning_modules.errors import ConfigError
from lightning_modules.evaluation.score import macs_score, time_score


def check_split(settings: DictConfig, *, has_test: bool) -> None:
    """Refuse, before anything is trained, a split that has no F1.

    Raises:
        ConfigError: the test split is wanted and not there.
    """
    if settings.split == "test" and not has_test:
        raise ConfigError("score.split=test needs data with a labelled test split; use val.")


def add_scores(
    metrics: dict[str, Any],
    network: nn.Module,
    settings: DictConfig,
    *,
    image_size: tuple[int, int],
    images: dict[str, int],
) -> None:
    """Puts the scores of a run's final network into its figures; lower is better.

    Args:
        metrics: with `<split>/f1`, and `cost/latency_ms` where it was measured: without it there
            is no `score/time`. Changed in place.
        network: as shipped.
        settings: `split`, and the constants of `macs` and `time`.
        image_size: (H, W) in pixels.
        images: how many there are in each split; the time is that of the whole split.
    """
    f1 = metrics[f"{settings.split}/f1"]
    macs = count_macs(network, image_size, convention="leaderboard2021")
    metrics["score/macs"] = macs_score(f1=f1, macs=macs, **settings.macs)
    if "cost/latency_ms" in metrics:
        seconds = metrics["cost/latency_ms"] / 1000 * images[settings.split]
        metrics["score/time"] = time_score(f1=f1, seconds=seconds, **settings.time)
