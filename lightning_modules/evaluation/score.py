"""`score/macs` and `score/time`: accuracy and cost in one number, as the 2021 leaderboard had it.

Lower wins.
"""

from math import exp, isfinite
from typing import Any

from omegaconf import DictConfig
from torch import nn

from compression.cost import count_macs
from compression.errors import CompressionError
from lightning_modules.errors import ConfigError


def macs_score(
    *,
    f1: float,
    macs: float,
    reference_macs: float = 13_863_553,
    reference_f1: float = 0.8342,
    least_f1: float = 0.5,
) -> float:
    """MACs relative to a reference network's, plus a penalty for what F1 lacks to its F1.

    Args:
        f1: macro-F1 in 0..1.
        macs: of one image, in the convention `leaderboard2021`.
        reference_macs: MACs that cost 1.
        reference_f1: above it a better F1 counts half.
        least_f1: below it the penalty is 1, whatever the F1.

    Raises:
        CompressionError: a value outside its range.
    """
    _check(f1, cost=macs, scale=reference_macs)
    if not 0 < reference_f1 <= 1:
        raise CompressionError(f"The reference F1 lies in 0..1, not {reference_f1!r}.")
    lacking = 1 - f1 / reference_f1
    if f1 < least_f1:
        lacking = 1.0
    elif f1 >= reference_f1:
        lacking *= 0.5
    return macs / reference_macs + lacking


def time_score(
    *,
    f1: float,
    seconds: float,
    reference_seconds: float = 43.1655,
    middle_f1: float = 0.7,
    steepness: float = 20.0,
) -> float:
    """Half the time relative to a reference network's, plus a smooth penalty for a low F1.

    Args:
        f1: macro-F1 in 0..1.
        seconds: for the whole test set.
        reference_seconds: time that costs 0.5.
        middle_f1: where the penalty is 0.5.
        steepness: how fast the penalty goes from 1 to 0 around `middle_f1`.

    Raises:
        CompressionError: a value outside its range.
    """
    _check(f1, cost=seconds, scale=reference_seconds)
    return 0.5 * seconds / reference_seconds + 1 / (1 + exp(steepness * (f1 - middle_f1)))


def _check(f1: float, *, cost: float, scale: float) -> None:
    if not 0 <= f1 <= 1:
        raise CompressionError(f"An F1 lies in 0..1, not {f1!r}.")
    if not (cost >= 0 and isfinite(cost)) or not scale > 0:
        raise CompressionError(
            f"A score needs a cost of 0 or more and a reference above 0, not {cost!r} and "
            f"{scale!r}."
        )


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
    """Puts the scores of a run's final network into its metrics; lower is better.

    Args:
        metrics: with `<split>/f1`, and `cost/latency_ms` where it was measured: without it there
            is no `score/time`. Changed in place.
        network: the final one.
        settings: `split`, and the constants of `macs` and `time`.
        image_size: (H, W) in pixels.
        images: how many there are in each split; the time is that of the whole split.

    Raises:
        ConfigError: the split's F1 is not there.
    """
    if f"{settings.split}/f1" not in metrics:
        raise ConfigError(f"it needs {settings.split}/f1, which is missing.")
    f1 = metrics[f"{settings.split}/f1"]
    macs = count_macs(network, image_size, convention="leaderboard2021")
    metrics["score/macs"] = macs_score(f1=f1, macs=macs, **settings.macs)
    if "cost/latency_ms" in metrics:
        seconds = metrics["cost/latency_ms"] / 1000 * images[settings.split]
        metrics["score/time"] = time_score(f1=f1, seconds=seconds, **settings.time)
