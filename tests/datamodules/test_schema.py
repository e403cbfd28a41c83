"""Checks of single values: what passes, and that each refusal names its place."""

import math

import pytest

from datamodules import schema
from datamodules.errors import DataError


def test_sizes():
    as_size = schema.as_size
    assert as_size(64) == (64, 64) and as_size([48, 64]) == (48, 64)
    for wrong in (0, -3, [1, 2, 3], "64", [64.0, 64], [0, 5], None, True, [True, 5]):
        with pytest.raises(DataError, match="is not a size"):
            as_size(wrong)


def test_what_passes_comes_back():
    assert schema.number("p", 1, 0, 1) == 1.0 and schema.whole("n", 3, 3) == 3
    assert schema.interval("hue", [-0.5, 0], -1, 1) == (-0.5, 0.0)
    assert schema.grid("tiles", (2, 64)) == (2, 64)
    assert schema.flag("square", False) is False and schema.choice("a", "x", ("x", "y")) == "x"


@pytest.mark.parametrize(
    ("check", "value", "arguments", "says"),
    [
        (schema.number, True, (0, 1), "^place=True is not allowed: give a number in 0..1."),
        (schema.number, math.nan, (0, 1), "^place=nan is not allowed"),
        (schema.number, math.inf, (0, math.inf), "^place=inf is not allowed"),
        (schema.number, "1", (0, 1), "^place=1 is not allowed"),
        (schema.number, 1.01, (0, 1), "^place=1.01 is not allowed"),
        (schema.whole, True, (0,), "^place=True is not allowed; give a whole number from 0 on."),
        (schema.whole, 2.0, (0, 4), "^place=2.0 is not allowed; give a whole number in 0..4."),
        (schema.whole, 5, (0, 4), "^place=5 is not allowed"),
        (schema.flag, 1, (), "^place=1 is not allowed: give true or false."),
        (schema.choice, "z", (("x", "y"),), "^place=z does not exist; there are x, y."),
        (schema.interval, [1, 0], (0, 1), r"^place=\[1, 0\] is not allowed; give .smallest"),
        (schema.interval, [0, True], (0, 1), "is not allowed"),
        (schema.interval, 0.5, (0, 1), "is not allowed"),
        (schema.interval, "01", (0, 1), "is not allowed"),
        (schema.grid, [1, 2, 3], (), "is not allowed; give .rows, columns"),
        (schema.grid, [0, 2], (), "^place=0 is not allowed"),
    ],
)
def test_refusals_name_their_place(check, value, arguments, says):
    with pytest.raises(DataError, match=says):
        check("place", value, *arguments)


@pytest.mark.parametrize("value", ["", " ", "a\0b", "\ud800", 3, None])
def test_no_names(value):
    assert not schema.is_name(value)
    assert schema.is_name("Müll, 塑料")
