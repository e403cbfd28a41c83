"""What a setting must be."""

import inspect
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import pytest

from compression.errors import CompressionError
from compression.registry import Registry
from compression.schema import (
    Count,
    Flag,
    Patterns,
    Positive,
    Ratio,
    check_settings,
    declared,
    height_width,
    is_number,
)

COLORS = Registry("color", "model_diet.tests", {"red": "os:sep", "dict": "builtins:dict"}, ("x",))


@declared()
class Inner:
    size: Count


@declared()
class Settings:
    name: ClassVar[str] = "thing"

    ratio: Ratio | None = None
    rounds: Count = 1
    scope: Literal["global", "uniform", None] = "global"
    strength: Positive = 1.0
    layers: Patterns = ()
    bias: Flag = True
    color: Annotated[Any, COLORS] = "red"
    inner: Inner | None = None
    map: Mapping[str, Ratio] | None = None

    def __post_init__(self) -> None:
        if self.rounds == 7:
            raise ValueError("{place}.rounds=7 is not allowed with {a: 1}.")


class Thing(Settings):
    def __post_init__(self) -> None:
        super().__post_init__()
        self.double = 2 * self.rounds


ONE = "it must be a number from 1"


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("ratio", 3, "ratio=3 is not allowed; it must be a ratio in (0, 1]."),
        ("ratio", True, "ratio=true is not allowed; it must be a ratio in (0, 1]."),
        ("ratio", "0.5", "ratio=0.5 is not allowed; it must be a ratio in (0, 1]."),
        ("ratio", float("nan"), "ratio=nan is not allowed; it must be a ratio in (0, 1]."),
        ("rounds", 0, f"rounds=0 is not allowed; {ONE}."),
        ("rounds", 1.0, f"rounds=1.0 is not allowed; {ONE}."),
        ("rounds", None, f"rounds=null is not allowed; {ONE}."),
        ("rounds", 7, "rounds=7 is not allowed with {a: 1}."),
        ("strength", float("inf"), "strength=inf is not allowed; it must be above 0."),
        ("scope", "globel", "scope=globel does not exist (did you mean global?); there are "
         "global, uniform, null."),
        ("layers", "*", "layers=* is not allowed; it must be a list of name patterns, as "
         "['body.*']."),
        ("bias", 1, "bias=1 is not allowed; it must be true or false."),
        ("inner", {"size": 0}, f"inner.size=0 is not allowed; {ONE}."),
        ("inner", {}, "inner.size has no value; give it as {place}.inner.size=..."),
        ("map", {"a": 2}, "map.a=2 is not allowed; it must be a ratio in (0, 1]."),
        ("color", "rad", "color=rad does not exist (did you mean red?); there are red, dict, or "
         "{_target_: ...} of your own color."),
        ("color", None, "color=null does not exist; there are red, dict, or {_target_: ...} of "
         "your own color."),
        ("color", {"a": 1}, "color={'a': 1} has no _target_, which names your class."),
        ("color", 3, "color: builtins.int is no color: it has no x."),
    ],
)  # fmt: skip
def test_a_refusal_is_one_sentence_with_key_and_value(key: str, value: Any, sentence: str) -> None:
    with pytest.raises(CompressionError) as node:
        check_settings(Settings, {key: value}, "a.b")
    assert str(node.value) == "a.b." + sentence.replace("{place}", "a.b")
    for kind in (Settings, Thing):
        with pytest.raises(CompressionError) as made:
            kind(**{key: value})
        assert str(made.value) == "thing." + sentence.replace("{place}", "thing")


def test_an_unknown_key_is_said_with_all_that_there_are() -> None:
    with pytest.raises(CompressionError, match=r"no key a\.round \(did you mean rounds\?\); there"):
        check_settings(Settings, {"round": 1}, "a")


def test_keys_of_others_are_left_where_the_declaration_says_so() -> None:
    @declared(more="ignore")
    class Part:
        size: Count

    assert check_settings(Part, {"size": 2, "other": "x"}, "").size == 2
    with pytest.raises(CompressionError, match=r"^size has no value"):
        check_settings(Part, {"other": "x"}, "")


def test_a_subclass_has_the_settings_as_attributes_and_arguments() -> None:
    thing = Thing(rounds=3, ratio=0.5)
    assert (thing.rounds, thing.ratio, thing.scope, thing.double) == (3, 0.5, "global", 6)
    parameters = inspect.signature(Thing).parameters
    assert parameters["rounds"].default == 1
    assert list(parameters)[:3] == ["ratio", "rounds", "scope"]
    assert Settings.__module__ == __name__


def test_an_image_size_is_a_side_or_two():
    assert height_width(64) == (64, 64)
    assert height_width([48, 64]) == height_width((48.0, 64.0)) == (48, 64)
    for wrong in (0, [64], [1, 2, 3], "64", None, [64, 0], 6.5):
        with pytest.raises(CompressionError, match=r"a positive int or \[height, width\]"):
            height_width(wrong)


def test_truth_is_no_number():
    assert is_number(1) and is_number(0.5) and not is_number(True) and not is_number("1")
