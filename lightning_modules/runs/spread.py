"""Mean and spread of one metric over several runs."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# What a person looks at first; whatever else `metrics.json` measured comes after these.
METRICS = (
    "val/f1",
    "val/accuracy",
    "test/f1",
    "cost/macs",
    "cost/params",
    "cost/latency_ms",
    "score/macs",
    "score/time",
)


@dataclass(frozen=True)
class Spread:
    """One metric over `n` runs.

    Attributes:
        n: number of values.
        mean: their mean.
        sd: sample standard deviation (divided by n - 1); None for a single value.
        se: standard error of the mean, sd / sqrt(n), over all runs jointly. It takes the runs as
            independent; folds share training images, so over folds it is too small, and no
            unbiased estimate exists (Bengio and Grandvalet 2004, JMLR 5).
        minimum, maximum: the smallest and the largest value.
    """

    n: int
    mean: float
    sd: float | None
    se: float | None
    minimum: float
    maximum: float


def spread(values: Sequence[float]) -> Spread:
    """Mean and spread of at least one value, computed exactly and rounded once."""
    n = len(values)
    sd = statistics.stdev(values) if n > 1 else None
    se = None if sd is None else sd / n**0.5
    return Spread(n, statistics.mean(values), sd, se, min(values), max(values))


def lower_is_better(metric: str) -> bool:
    """True of costs, scores, losses and calibration errors; false of F1 and accuracy."""
    return metric.startswith(("cost/", "score/")) or metric.endswith(
        ("/loss", "/calibration_error")
    )
