"""Mean and spread of one figure."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_modules.runs.summary import lower_is_better, spread


def test_three_seeds_by_hand():
    found = spread([0.8, 0.9, 1.0])
    assert (found.n, found.mean, found.minimum, found.maximum) == (3, 0.9, 0.8, 1.0)
    assert found.sd == pytest.approx(0.1, abs=1e-15)
    assert found.se == pytest.approx(0.1 / math.sqrt(3), abs=1e-15)


def test_one_run_has_no_spread_and_equal_runs_have_exactly_none():
    assert (spread([0.1]).sd, spread([0.1]).se) == (None, None)
    same = spread([0.1] * 3)
    assert (same.mean, same.sd, same.se) == (0.1, 0.0, 0.0)


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30))
def test_against_numpy(values):
    found = spread(values)
    assert found.mean == pytest.approx(np.mean(values), rel=1e-9, abs=1e-6)
    assert found.sd == pytest.approx(np.std(values, ddof=1), rel=1e-6, abs=1e-6)
    assert found.se == pytest.approx(found.sd / np.sqrt(len(values)), rel=1e-12)
    assert (found.minimum, found.maximum) == (min(values), max(values))


def test_costs_scores_and_losses_are_better_when_lower():
    names = ("val/f1", "test/accuracy", "val/loss", "cost/latency_ms", "score/macs", "val/f1/red")
    assert [*map(lower_is_better, names)] == [False, False, True, True, True, False]
