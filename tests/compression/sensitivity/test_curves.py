from itertools import pairwise

import numpy as np
import pytest

from compression.sensitivity.curves import PRIOR_DROP, SensitivityCurves
from compression.sensitivity.sensitivity_scan import Point, Scan


def scan_of(**layers: dict[float, float]) -> Scan:
    """Of macro-F1 0.8, from what layers lose at the shares that they keep."""
    points = [
        Point(layer=layer, ratio=kept, kept=kept, what="", f1=0.8 - lost, macs=50, params=5)
        for layer, losses in layers.items()
        for kept, lost in losses.items()
    ]
    return Scan(f1=0.8, macs=100, params=10, points=points)


def test_a_layer_keeps_what_it_needs_to_lose_no_more_than_the_bound():
    bounds = SensitivityCurves(scan_of(tough={0.25: 0.02, 0.5: 0.01}, soft={0.25: 0.4, 0.5: 0.2}))
    assert bounds.ratio("tough", 0.01 + PRIOR_DROP / 2) == pytest.approx(0.5)
    assert bounds.ratio("soft", 0.2 + PRIOR_DROP / 2) == pytest.approx(0.5)
    assert bounds.ratio("soft", 0.1 + PRIOR_DROP / 4) == pytest.approx(0.75)  # half way to 0.5
    assert bounds.ratio("tough", 9) == bounds.ratio("soft", 9) == 0.25  # as far as was looked
    assert bounds.ratio("tough", 0) == bounds.ratio("unknown", 9) == 1
    assert bounds.worst == pytest.approx(0.4 + 0.75 * PRIOR_DROP)


def test_less_of_a_layer_is_never_better():
    bounds = SensitivityCurves(scan_of(lucky={0.75: 0.1, 0.5: -0.1, 0.25: 0.05}, free={0.5: -0.3}))
    ratios = [bounds.ratio("lucky", bound) for bound in np.linspace(0, 0.2, 101)]
    assert all(after <= before for before, after in pairwise(ratios))
    assert bounds.ratio("lucky", 0.1) > 0.75 > bounds.ratio("lucky", 0.1 + PRIOR_DROP)
    # What seems free goes bit by bit, not all at once.
    assert bounds.ratio("free", PRIOR_DROP / 4) == pytest.approx(0.75)


def test_the_parameter():
    bounds = SensitivityCurves(scan_of(a={0.5: 0.36}))
    assert bounds.bound_at(0) == bounds.worst and bounds.bound_at(1) == 0
    assert bounds.bound_at(0.9) == pytest.approx(0.01 * bounds.worst)
    assert SensitivityCurves(scan_of()).worst == 0
