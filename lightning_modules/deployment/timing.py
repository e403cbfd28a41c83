"""Several networks in several backends, timed alternately in one process."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compression.latency import interleaved_times, torch_threads
from lightning_modules.deployment.backends import Call

SEARCH_REPEATS = 5  # timed calls of each batch size while the best is looked for


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Of one network in one backend; milliseconds a call, the IQR between the quartiles.

    Attributes:
        one_ms, one_iqr_ms: of one image.
        batch: the number of images a call at which most images a second go through.
        batch_ms, batch_iqr_ms: of that many.
    """

    one_ms: float
    one_iqr_ms: float
    batch: int
    batch_ms: float
    batch_iqr_ms: float

    @property
    def throughput(self) -> float:
        """Images a second at the best batch."""
        return 1e3 * self.batch / self.batch_ms


def time_alternately(
    calls: Sequence[Call],
    sizes: Sequence[tuple[int, int]],
    *,
    batches: Sequence[int],
    repeats: int,
    threads: int,
) -> list[Timing]:
    """Times all calls in turn, so that a inference_seconds machine slows them all.

    Args:
        calls: the networks in their backends.
        sizes: (height, width) in pixels that each takes.
        batches: numbers of images a call to choose the best from.
        repeats: timed calls of each.
        threads: of PyTorch meanwhile; other backends have their own.
    """
    with torch_threads(threads):
        one = _percentiles(calls, sizes, [1] * len(calls), repeats)
        per_image = np.stack(
            [
                _percentiles(calls, sizes, [batch] * len(calls), SEARCH_REPEATS)[:, 1] / batch
                for batch in batches
            ]
        )  # batches x calls
        best = [batches[index] for index in per_image.argmin(axis=0)]
        many = _percentiles(calls, sizes, best, repeats)
    return [
        Timing(
            one_ms=single[1],
            one_iqr_ms=single[2] - single[0],
            batch=batch,
            batch_ms=several[1],
            batch_iqr_ms=several[2] - several[0],
        )
        for single, batch, several in zip(one.tolist(), best, many.tolist(), strict=True)
    ]


def _percentiles(
    calls: Sequence[Call], sizes: Sequence[tuple[int, int]], batches: Sequence[int], repeats: int
) -> np.ndarray:
    """Quartile, median, quartile in milliseconds, calls x 3."""
    rng = np.random.default_rng(0)
    bound = []
    for call, size, batch in zip(calls, sizes, batches, strict=True):
        images = rng.integers(0, 256, (batch, 3, *size), dtype=np.uint8)
        bound.append(lambda call=call, images=images: call(images))
    return 1e3 * np.percentile(interleaved_times(bound, repeats), (25, 50, 75), axis=1).T
