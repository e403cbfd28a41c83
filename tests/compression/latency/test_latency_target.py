import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from compression.bisection import UnreachableTargetError
from compression.context import Context
from compression.errors import CompressionError
from compression.latency.latency_search import GUESSES, MEASUREMENTS, search
from compression.latency.latency_target import plan_for_latency
from compression.target import RoundTarget, Target
from tests.compression.fake_latency import scripted


def test_a_latency_in_proportion_is_met_at_once():
    candidate_at, latency_of, asked = scripted(lambda macs: macs)
    found = search(candidate_at, latency_of, 0.6)
    assert (found.plan, found.latency, asked) == ("plan 0.6000", 0.6, [0.6])


def test_overhead_is_learned_from_the_first_measurement():
    candidate_at, latency_of, asked = scripted(lambda macs: 0.4 + 0.6 * macs)
    found = search(candidate_at, latency_of, 0.6)
    assert found.latency == pytest.approx(0.6, abs=1e-4)
    assert asked == pytest.approx([0.6, 1 / 3], abs=1e-4)


def test_steps_give_the_nearest_below():
    candidate_at, latency_of, _ = scripted(lambda macs: math.ceil(4 * macs) / 4)
    assert search(candidate_at, latency_of, 0.6).latency == 0.5


def test_the_network_stays_where_an_earlier_round_went_far_enough():
    candidate_at, latency_of, asked = scripted(lambda macs: macs)
    assert search(candidate_at, latency_of, 0.6, start=0.55).plan == "plan 1.0000"
    assert asked == []


@pytest.mark.parametrize(
    ("latency_at", "least", "reach"),
    [
        (lambda macs: 0.5 + 0.5 * macs, 0.1, (0.55, 1.0)),
        (lambda macs: 1.2 - 0.2 * macs, 0.3, (1.0, 1.0)),  # slower with fewer MACs
        (lambda macs: 1.0, 0.0, (1.0, 1.0)),
    ],
)
def test_out_of_reach_only_after_the_smallest_was_measured(latency_at, least, reach):
    candidate_at, latency_of, asked = scripted(latency_at, least)
    with pytest.raises(UnreachableTargetError) as error:
        search(candidate_at, latency_of, 0.4)
    assert (error.value.minimum, error.value.maximum) == pytest.approx(reach, abs=1e-4)
    assert min(asked) == pytest.approx(least, abs=1e-5)


@given(
    st.floats(0.05, 1), st.floats(0, 0.9), st.floats(0.3, 3), st.floats(0, 0.3), st.integers(0, 99)
)
def test_any_noise_ends_soon_with_a_truthful_answer(goal, overhead, power, noise, seed):
    chance = random.Random(seed)

    def latency_at(macs):
        return (overhead + (1 - overhead) * macs**power) * chance.uniform(1 - noise, 1 + noise)

    candidate_at, latency_of, asked = scripted(latency_at, 0.02)
    measured = {}

    def remembered(network):
        measured[network.out_features] = latency_of(network)
        return measured[network.out_features]

    try:
        found = search(candidate_at, remembered, goal)
    except UnreachableTargetError:
        assert min(measured.values()) > 1.1 * goal
        assert min(asked) == pytest.approx(0.02)
    else:
        assert found.latency <= 1.1 * goal
        assert found.latency in (1.0, *measured.values())
        if found.latency < 0.9 * goal:
            assert not any(0.9 * goal <= value <= 1.1 * goal for value in measured.values())
    assert len(asked) <= MEASUREMENTS + 1


@given(st.floats(0.1, 0.95), st.floats(0, 0.5), st.floats(0.5, 2))
def test_a_smooth_latency_is_met(goal, overhead, power):
    candidate_at, latency_of, _ = scripted(lambda m: overhead + (1 - overhead) * m**power)
    if goal > overhead + 0.05:
        found = search(candidate_at, latency_of, goal)
        assert found.latency == pytest.approx(goal, rel=0.1)


def test_few_networks_are_planned_where_they_are_all_alike():
    planned = []

    def candidate_at(ratio):
        planned.append(ratio)
        return "plan", nn.Linear(1, 2)

    with pytest.raises(UnreachableTargetError):
        search(candidate_at, lambda network: 0.9, 0.5)
    assert len(planned) <= GUESSES + 1


def test_later_rounds_need_the_network_that_entered(network, sample):
    context = Context(sample=sample, image_size=(20, 28))
    with pytest.raises(CompressionError, match=r"needs Context.relative_latency"):
        plan_for_latency(
            RoundTarget(Target("latency", 0.5), {}, 1, 2), lambda aim: {}, lambda n, _: n, network,
            context,
        )  # fmt: skip
