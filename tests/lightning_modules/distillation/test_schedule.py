"""Schedules over epochs, and the settings that are refused."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_modules.distillation.distillation import Distillation
from lightning_modules.distillation.schedule import schedule_of
from lightning_modules.errors import ConfigError


def distillation(**settings):
    defaults = {"temperature": 4.0, "alpha": 0.5, "terms": {"soft": "soft_targets"}}
    return Distillation(**{**defaults, **settings})


def values(setting, epochs=5):
    schedule = schedule_of(setting)
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
    ("key", "setting", "sentence"),
    [
        ("temperature", 0, "temperature=0 is not allowed; it must be above 0."),
        ("temperature", {"schedule": "linear", "from": 4, "to": 0}, "; it must be above 0."),
        ("alpha", 1.5, "alpha=1.5 is not allowed; it must be in 0..1."),
        ("alpha", {"schedule": "cosine", "from": -0.1, "to": 1}, "; it must be in 0..1."),
        (
            "alpha",
            {"schedule": "linea", "from": 0, "to": 1},
            "alpha.schedule=linea does not exist (did you mean linear?); there are constant, "
            "linear, cosine.",
        ),
        ("alpha", {"schedule": "linear", "from": 0}, "lacks `to`"),
        ("alpha", {"schedule": "linear", "start": 0}, "neither a number nor"),
        ("alpha", "half", "neither a number nor"),
        ("alpha", float("nan"), "neither a number nor"),
        ("alpha", True, "neither a number nor"),
        ("cache", 0, "cache=0 is not allowed; it must be a whole number >= 1 of augmentations of"),
        ("cache", True, "cache=true is not allowed; it must be a whole number >= 1"),
        ("augmentation_repeats", 1.5, "augmentation_repeats=1.5 is not allowed; it must be a whol"),
        ("augmentation_repeats", 0, "augmentation_repeats=0 is not allowed"),
        ("terms", {}, "distillation.terms is empty: nothing would be learnt"),
    ],
)
def test_impossible_settings_are_refused(key, setting, sentence):
    with pytest.raises(ConfigError) as refusal:
        distillation(**{key: setting})
    assert str(refusal.value).startswith(f"distillation.{key}")
    assert sentence in str(refusal.value)


def test_augmentation_repeats():
    def repeats_of(cache, repeats):
        return distillation(cache=cache, augmentation_repeats=repeats).augmentation_repeats

    assert repeats_of(None, None) is None
    assert repeats_of(3, None) == repeats_of(None, 3) == repeats_of(3, 3) == 3
    with pytest.raises(ConfigError, match="cache=2 stores 2 augmentations and .*=3 trains on ano"):
        repeats_of(2, 3)
