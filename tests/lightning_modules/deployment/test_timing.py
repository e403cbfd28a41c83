"""Alternating measurement, and the best batch."""

import numpy as np
import pytest
import torch

from lightning_modules.deployment import timing
from lightning_modules.deployment.timing import Timing, time_alternately


def test_all_calls_take_turns_and_the_best_batch_is_chosen(monkeypatch):
    asked = []

    def interleaved_times(calls, repeats):
        asked.append(repeats)
        return np.stack([np.full(repeats, call()) for call in calls])

    def call(fixed, each):
        def seconds(images):
            assert images.dtype == np.uint8 and images.shape[1:] == (3, 8, 12)
            assert torch.get_num_threads() == 1
            return fixed + each * len(images)

        return seconds

    monkeypatch.setattr(timing, "interleaved_times", interleaved_times)
    steady = call(0.004, 0.001)

    def crowded(images):  # slower an image beyond two
        return steady(images) * (1 if len(images) < 3 else 4)

    found = time_alternately(
        [steady, crowded], [(8, 12)] * 2, batches=[1, 2, 8], repeats=7, threads=1
    )
    assert asked == [7, 5, 5, 5, 7]
    assert found[0] == Timing(
        one_ms=5.0, one_iqr_ms=0, batch=8, batch_ms=pytest.approx(12), batch_iqr_ms=0
    )
    assert found[1].batch == 2 and found[1].batch_ms == pytest.approx(6)
    assert found[0].throughput == pytest.approx(1000 * 8 / 12)
