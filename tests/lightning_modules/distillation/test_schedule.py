"""Schedules over epochs, and the settings that are refused."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_modules.distillation.schedule import schedule_of
from lightning_modules.distillation.schema import (
    alpha_schedule,
    temperature_schedule,
)
from lightning_modules.distillation.schema import (
    augmentation_repeats_of as repeats_of,
)
from lightning_modules.errors import ConfigError


def values(setting, epochs=5):
    schedule = schedule_of(setting, "x")
    return [schedule.at(epoch, epochs) for epoch in range(epochs)]


def test_each_kind_by_hand():
    assert values(0.5) == [0.5] * 5
    assert values({"schedule": "constant", "from": 2}) == [2] * 5
    assert values({"schedule": "linear", "from": 1, "to": 0}) == [1, 0.75, 0.5, 0.25, 0]
    root = math.sqrt(0.5)
    expected = [0, (1 - root) / 2, 0.5, (1 + root) / 2, 1]
    assert values({"schedule": "cosine", "from": 0, "to": 1}) == pytest.approx(expected)
    assert values({"schedule": "linear", "from": 3, "to": 7}, epochs=1) == [3]


@given(st.floats(0, 1), st.floats(0, 1), st.integers(2, 50), st.sampled_from(["linear", "cosine"]))
def test_both_ends_are_met_and_nothing_leaves_them(start, end, epochs, kind):
    found = values({"schedule": kind, "from": start, "to": end}, epochs)
    assert found[0] == pytest.approx(start)
    assert found[-1] == pytest.approx(end)
    assert all(min(start, end) - 1e-12 <= value <= max(start, end) + 1e-12 for value in found)


@pytest.mark.parametrize(
    ("read", "setting", "sentence"),
    [
        (temperature_schedule, 0, "temperature=0; it must be above 0"),
        (temperature_schedule, {"schedule": "linear", "from": 4, "to": 0}, "must be above 0"),
        (alpha_schedule, 1.5, "alpha=1.5; it must lie in 0..1"),
        (alpha_schedule, {"schedule": "cosine", "from": -0.1, "to": 1}, "must lie in 0..1"),
        (
            alpha_schedule,
            {"schedule": "step", "from": 0, "to": 1},
            "step does not exist; there are",
        ),
        (alpha_schedule, {"schedule": "linear", "from": 0}, "lacks `to`"),
        (alpha_schedule, {"schedule": "linear", "start": 0}, "neither a number nor"),
        (alpha_schedule, "half", "neither a number nor"),
        (alpha_schedule, float("nan"), "neither a number nor"),
        (alpha_schedule, True, "neither a number nor"),
    ],
)
def test_impossible_settings_are_refused(read, setting, sentence):
    with pytest.raises(ConfigError, match=sentence):
        read(setting)


def test_augmentation_repeats():
    assert repeats_of(None, None) is None
    assert repeats_of(3, None) == repeats_of(None, 3) == repeats_of(3, 3) == 3
    for cache, repeats in [(0, None), (None, 0), (True, None), (1.5, None), (2, 3)]:
        with pytest.raises(ConfigError):
            repeats_of(cache, repeats)
