import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compression.target import Unreachable, solve


def test_a_smooth_cost_is_met():
    found = solve(lambda knob: 1000 * knob**2, 250, tolerance=0.001)
    assert found.reached and found.cost == pytest.approx(250, rel=0.001)
    assert found.knob == pytest.approx(0.5, rel=0.001)


def test_steps_give_the_nearest_below():
    found = solve(lambda knob: 100 * math.floor(10 * knob), 567)
    assert (found.cost, found.reached) == (500, False)
    assert solve(lambda knob: 100 * math.floor(10 * knob), 595).cost == 600  # within 2 %


def test_the_gentlest_setting_is_kept_where_it_is_enough():
    calls = []
    found = solve(lambda knob: calls.append(knob) or 80, 100)
    assert (found.knob, found.cost, found.reached, calls) == (1.0, 80, False, [1.0])


def test_a_knob_may_run_downwards():
    found = solve(lambda ratio: 100 * (1 - ratio), 40, low=0.9, high=0.0)
    assert found.reached and found.knob == pytest.approx(0.6, abs=0.02)


def test_out_of_reach_has_the_range():
    with pytest.raises(Unreachable) as error:
        solve(lambda knob: 50 + 50 * knob, 40)
    assert (error.value.least, error.value.most) == (50, 100)


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=20), st.integers(1, 1100))
def test_any_staircase_ends_soon_with_the_best_step(costs, goal):
    costs, calls = sorted(costs), []

    def cost_at(knob):
        calls.append(knob)
        return costs[min(int(knob * len(costs)), len(costs) - 1)]

    try:
        found = solve(cost_at, goal)
    except Unreachable:
        assert costs[0] > 1.02 * goal
    else:
        assert found.cost == cost_at(found.knob)
        assert found.reached == (abs(found.cost - goal) <= 0.02 * goal)
        below = [cost for cost in costs if cost <= goal]
        assert found.reached or found.cost == below[-1]
    assert len(calls) <= 17
