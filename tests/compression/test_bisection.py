import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compression.bisection import UnreachableTargetError, solve


def test_a_smooth_cost_is_met():
    found = solve(lambda parameter: 1000 * parameter**2, 250, tolerance=0.001)
    assert found.reached and found.cost == pytest.approx(250, rel=0.001)
    assert found.parameter == pytest.approx(0.5, rel=0.001)


def test_steps_give_the_nearest_below():
    found = solve(lambda parameter: 100 * math.floor(10 * parameter), 567)
    assert (found.cost, found.reached) == (500, False)
    assert solve(lambda parameter: 100 * math.floor(10 * parameter), 595).cost == 600  # within 2 %


def test_the_gentlest_setting_is_kept_where_it_is_enough():
    calls = []
    found = solve(lambda parameter: calls.append(parameter) or 80, 100)
    assert (found.parameter, found.cost, found.reached, calls) == (1.0, 80, False, [1.0])


def test_a_parameter_may_run_downwards():
    found = solve(lambda ratio: 100 * (1 - ratio), 40, low=0.9, high=0.0)
    assert found.reached and found.parameter == pytest.approx(0.6, abs=0.02)


def test_out_of_reach_has_the_range():
    with pytest.raises(UnreachableTargetError) as error:
        solve(lambda parameter: 50 + 50 * parameter, 40)
    assert (error.value.minimum, error.value.maximum) == (50, 100)


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=20), st.integers(1, 1100))
def test_any_staircase_ends_soon_with_the_best_step(costs, goal):
    costs, calls = sorted(costs), []

    def cost_at(parameter):
        calls.append(parameter)
        return costs[min(int(parameter * len(costs)), len(costs) - 1)]

    try:
        found = solve(cost_at, goal)
    except UnreachableTargetError:
        assert costs[0] > 1.02 * goal
    else:
        assert found.cost == cost_at(found.parameter)
        assert found.reached == (abs(found.cost - goal) <= 0.02 * goal)
        below = [cost for cost in costs if cost <= goal]
        assert found.reached or found.cost == below[-1]
    assert len(calls) <= 17
