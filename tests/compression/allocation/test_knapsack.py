"""The knapsack against every choice there is."""

from itertools import product
from time import process_time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compression.allocation.knapsack import solve_knapsack
from compression.bisection import UnreachableTargetError

LOSSES = st.floats(0, 10, allow_subnormal=False)


@st.composite
def instances(draw, costs):
    """Losses and costs of up to five layers with up to four options, and a budget."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    losses = [draw(st.lists(LOSSES, min_size=n, max_size=n)) for n in sizes]
    found = [draw(st.lists(costs, min_size=n, max_size=n)) for n in sizes]
    return losses, found, draw(st.integers(0, 120))


def every_choice(losses, costs, budget):
    """The least sum of losses within the budget; None where nothing is."""
    sums = [
        sum(own[n] for own, n in zip(losses, choice, strict=True))
        for choice in product(*(range(len(own)) for own in losses))
        if sum(own[n] for own, n in zip(costs, choice, strict=True)) <= budget
    ]
    return min(sums, default=None)


@settings(max_examples=120, deadline=None)
@given(instances(st.integers(0, 40)))
def test_it_equals_brute_force(instance):
    losses, costs, budget = instance
    best = every_choice(*instance)
    if best is None:
        with pytest.raises(UnreachableTargetError):
            solve_knapsack(*instance)
        return
    options = solve_knapsack(*instance)
    spent = sum(own[n] for own, n in zip(costs, options, strict=True))
    assert spent <= budget
    assert sum(own[n] for own, n in zip(losses, options, strict=True)) == pytest.approx(best)


@settings(max_examples=60, deadline=None)
@given(instances(st.floats(0, 40, allow_subnormal=False)))
def test_rounding_never_breaks_the_budget_and_costs_next_to_nothing(instance):
    losses, costs, budget = instance
    if sum(map(min, costs)) > budget:
        return
    options = solve_knapsack(*instance)
    spent = sum(own[n] for own, n in zip(costs, options, strict=True))
    assert spent <= budget + 1e-6
    # Nothing that fits with the roundings to spare is better.
    spare = budget - sum(map(min, costs))
    best = every_choice(losses, costs, budget - len(costs) * spare / 20_000)
    lost = sum(own[n] for own, n in zip(losses, options, strict=True))
    assert best is None or lost <= best + 1e-9


def test_what_is_out_of_reach_says_what_is_not():
    with pytest.raises(UnreachableTargetError, match="less than the cheapest") as error:
        solve_knapsack([[0, 1], [0, 1]], [[10, 4], [10, 3]], 6.5)
    assert (error.value.minimum, error.value.maximum) == (7, 20)


def test_the_least_that_there_is_can_be_asked_for_as_a_ratio():
    least, whole = 379_735.0, 743_076.0
    assert least / whole * whole < least  # by a rounding error
    assert solve_knapsack([[0, 1]], [[whole, least]], least / whole * whole) == [1]


def test_of_equals_the_first():
    assert solve_knapsack([[0, 0, 0]], [[3, 2, 3]], 9) == [0]
    assert solve_knapsack([[0.0]], [[0.0]], 0) == [0]


def test_a_large_network_takes_little_time():
    """200 layers of 20 options, as the largest networks have."""
    generator = np.random.default_rng(0)
    losses, costs = generator.random((2, 200, 20)).tolist()
    start = process_time()
    options = solve_knapsack(losses, costs, 40.0)
    assert process_time() - start < 5
    assert sum(own[n] for own, n in zip(costs, options, strict=True)) <= 40
