"""Settings are refused by their key, their value and what is allowed."""

from typing import Annotated

import pytest

from lightning_modules.errors import ConfigError
from lightning_modules.schema import (
    AtLeast0,
    ImageSize,
    check_settings,
    check_target,
    declared,
    is_whole,
    whole_from,
)


@declared(more="ignore")
class Settings:
    rounds: Annotated[float, whole_from(2)] = 2
    size: ImageSize = 8
    rate: AtLeast0 = 0.0


@declared()
class Strict(Settings):
    own: AtLeast0 = 0.0


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("rounds", True, "a.b.rounds=true is not allowed; it must be a whole number >= 2."),
        ("rounds", "3", "a.b.rounds=3 is not allowed; it must be a whole number >= 2."),
        ("rounds", 2.5, "a.b.rounds=2.5 is not allowed; it must be a whole number >= 2."),
        ("rounds", 1, "a.b.rounds=1 is not allowed; it must be a whole number >= 2."),
        ("rounds", float("inf"), "a.b.rounds=inf is not allowed; it must be a whole number >= 2."),
        ("rounds", float("nan"), "a.b.rounds=nan is not allowed; it must be a whole number >= 2."),
        ("rate", -1, "a.b.rate=-1 is not allowed; it must be at least 0."),
        ("size", 0, "a.b.size=0 is not allowed; it must be pixels, as 64 or [48,64]."),
        ("size", True, "a.b.size=true is not allowed; it must be pixels, as 64 or [48,64]."),
        ("size", [1, 2, 3], "a.b.size=[1, 2, 3] is not allowed; it must be pixels, as 64 or "
         "[48,64]."),
    ],
)  # fmt: skip
def test_refusals(key, value, sentence):
    with pytest.raises(ConfigError) as refusal:
        check_settings(Settings, {key: value}, "a.b")
    assert str(refusal.value) == sentence


def test_what_passes():
    found = check_settings(Settings, {"rounds": 1e3, "size": [4, 8], "rate": 0, "other": "x"})
    assert (found.rounds, found.size, found.rate) == (1000, (4, 8), 0)
    assert check_settings(Settings, {"size": 8, "rounds": 3.0}).size == (8, 8)


def test_a_target_is_told_what_is_declared_of_it():
    known = {"a.Known": Strict}
    check_target(known, {"_target_": "a.Known", "_partial_": True, "own": 1}, "x")
    with pytest.raises(ConfigError, match=r"no key x.wn \(did you mean own\?\); there are rounds"):
        check_target(known, {"_target_": "a.Known", "wn": 1}, "x")
    check_target(known, {"_target_": "b.Own", "wn": 1, "rate": -1}, "x")
    with pytest.raises(ConfigError, match="x.rate=-1"):
        check_target(known, {"_target_": "b.Own", "wn": 1, "rate": -1}, "x", otherwise=Settings)


def test_whole_numbers():
    assert is_whole(3) and not is_whole(0) and not is_whole(True) and not is_whole(3.0)
