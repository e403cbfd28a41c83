"""What a setting may be; a refusal says its key, its value and what is allowed.

The one place for "a number, not a bool", "one of these" and the like; imports no torch.
"""

import difflib
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from compression.errors import CompressionError
from compression.schema import height_width
from compression.schema import is_number as is_number
from lightning_modules.errors import ConfigError

Limit = tuple[Callable[[Any], bool], str]  # whether a number is allowed, and what is, in words

POSITIVE: Limit = (lambda x: x > 0, "above 0")
FRACTION: Limit = (lambda x: 0 <= x <= 1, "in 0..1")
BETWEEN_0_AND_1: Limit = (lambda x: 0 < x < 1, "between 0 and 1")


def at_least(bound: float) -> Limit:
    """Numbers from `bound`."""
    return (lambda x: x >= bound, f"at least {bound}")


def whole(least: int) -> Limit:
    """Whole numbers from `least`, also written as 3.0 or 1e3."""
    return (lambda x: math.isfinite(x) and int(x) == x and x >= least, f"a whole number >= {least}")


def is_whole(value: Any, least: int = 1) -> bool:
    """True of ints from `least`; not of true and false."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def require(fits: bool, key: str, value: Any, wanted: str) -> None:
    """Refuses what does not fit.

    Raises:
        ConfigError: `key=value is not allowed; it must be wanted.`
    """
    if not fits:
        raise ConfigError(f"{key}={value} is not allowed; it must be {wanted}.")


def require_number(key: str, value: Any, limit: Limit) -> None:
    """Refuses all but numbers within a limit.

    Raises:
        ConfigError: with what is allowed.
    """
    fits, wanted = limit
    require(is_number(value) and fits(value), key, value, wanted)


def require_whole(key: str, value: Any, least: int = 1) -> None:
    """Refuses all but ints from `least`.

    Raises:
        ConfigError: with what is allowed.
    """
    require(is_whole(value, least), key, value, f"a number from {least}")


def require_choice(key: str, value: Any, choices: Sequence[str | None]) -> None:
    """Refuses all but the values given, of which one may be null.

    Raises:
        ConfigError: with the nearest one and all that there are.
    """
    if value not in choices:
        names = ["null" if choice is None else choice for choice in choices]
        guess = nearest(value, names)
        raise ConfigError(f"{key}={value} does not exist{guess}; there are {', '.join(names)}.")


def require_image_size(key: str, value: int | Sequence[int]) -> tuple[int, int]:
    """The (height, width) in pixels that a setting means.

    Raises:
        ConfigError: it is neither a number of pixels nor two of them.
    """
    try:
        if not isinstance(value, bool):
            return height_width(value)
    except CompressionError:
        pass
    raise ConfigError(f"{key}={value} is no size; give pixels, as 64 or [48,64].")


def nearest(word: Any, known: Iterable[str]) -> str:
    """` (did you mean x?)` for the known name that is nearest to a word; empty where none is."""
    near = difflib.get_close_matches(str(word), list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""
