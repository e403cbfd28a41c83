"""What a setting must be."""

import pytest

from compression import CompressionError
from compression.schema import (
    height_width,
    is_number,
    require_choice,
    require_count,
    require_ratio,
)


def test_an_image_size_is_a_side_or_two():
    assert height_width(64) == (64, 64)
    assert height_width([48, 64]) == height_width((48.0, 64.0)) == (48, 64)
    for wrong in (0, [64], [1, 2, 3], "64", None, [64, 0], 6.5):
        with pytest.raises(CompressionError, match=r"a positive int or \[height, width\]"):
            height_width(wrong)


@pytest.mark.parametrize(
    ("check", "right", "wrong", "says"),
    [
        (lambda value: require_ratio("a.b", value), 0.5, 0, r"a\.b is a ratio in \(0, 1\], not 0"),
        (lambda value: require_ratio("a.b", value), 1, True, "not True"),
        (lambda value: require_count("a.b", value), 1, 1.0, "a number from 1, not 1.0"),
        (lambda value: require_count("a", value, minimum=16), 16, 15, "a number from 16, not 15"),
        (lambda value: require_choice("a", value, ("x", "y")), "x", "z", "one of x, y, not 'z'"),
    ],
)
def test_settings(check, right, wrong, says):
    check(right)
    with pytest.raises(CompressionError, match=says):
        check(wrong)


def test_truth_is_no_number():
    assert is_number(1) and is_number(0.5) and not is_number(True) and not is_number("1")
