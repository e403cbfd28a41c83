"""Settings are refused by their key, their value and what is allowed."""

import pytest

from lightning_modules import schema
from lightning_modules.errors import ConfigError


@pytest.mark.parametrize(
    ("check", "arguments", "sentence"),
    [
        (schema.require_number, (True, schema.POSITIVE), "a.b=True is not allowed; it must be abo"),
        (schema.require_number, ("1", schema.POSITIVE), "a.b=1 is not allowed; it must be above 0"),
        (schema.require_number, (-1, schema.at_least(0)), "a.b=-1 is .*; it must be at least 0"),
        (schema.require_number, (1.5, schema.whole(1)), "it must be a whole number >= 1"),
        (schema.require_number, (float("inf"), schema.whole(1)), "it must be a whole number >= 1"),
        (schema.require_number, (2, schema.FRACTION), r"it must be in 0\.\.1"),
        (schema.require_whole, (True,), "a.b=True is not allowed; it must be a number from 1"),
        (schema.require_whole, (1, 2), "a.b=1 is not allowed; it must be a number from 2"),
        (schema.require_choice, ("lest", ("last", None)), r"mean last\?\); there are last, null"),
        (schema.require_choice, ("x", ("last",)), "a.b=x does not exist; there are last"),
        (schema.require_image_size, (0,), "a.b=0 is no size; give pixels"),
        (schema.require_image_size, (True,), "a.b=True is no size; give pixels"),
        (schema.require_image_size, ([1, 2, 3],), "is no size; give pixels"),
    ],
)
def test_refusals(check, arguments, sentence):
    with pytest.raises(ConfigError, match=sentence):
        check("a.b", *arguments)


def test_what_passes():
    schema.require_number("a", 1e3, schema.whole(1))
    schema.require_number("a", 0, schema.at_least(0))
    schema.require_whole("a", 3)
    schema.require_choice("a", None, ("last", None))
    assert schema.require_image_size("a", 8) == (8, 8)
    assert schema.require_image_size("a", [4, 8]) == (4, 8)
