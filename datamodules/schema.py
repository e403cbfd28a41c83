"""What a setting of the data must be; every mistake is one sentence that names its place.

Each function takes the place (`data.split.seed`) and the value, and gives the value back.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeGuard

from datamodules.errors import DataError

Size = tuple[int, int]  # height, width in pixels


def is_number(value: Any) -> TypeGuard[float]:
    """Whether it is a finite number; `true` and `false` are none, though Python counts them."""
    return is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def is_whole(value: Any) -> TypeGuard[int]:
    """Whether it is a whole number, written without a point."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_name(value: Any) -> TypeGuard[str]:
    """Whether it is text that can be a file's or a class's name, and be written as UTF-8."""
    if type(value) is not str or not value.strip() or "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON and YAML can hold
        return False
    return True


def is_size(value: Any, low: int = 1) -> bool:
    """Whether it is a pair of whole numbers from `low` on."""
    pair = _pair(value)
    return len(pair) == 2 and all(is_whole(side) and side >= low for side in pair)


def number(place: str, value: Any, low: float, high: float) -> float:
    """A number in low..high.

    Raises:
        DataError: it is none, or lies outside.
    """
    if not is_number(value) or not low <= value <= high:
        raise DataError(f"{place}={value} is not allowed: give a number in {low:g}..{high:g}.")
    return float(value)


def whole(place: str, value: Any, low: int, high: int | None = None) -> int:
    """A whole number in low..high, or from `low` on.

    Raises:
        DataError: it is none, or lies outside.
    """
    if not is_whole(value) or value < low or (high is not None and value > high):
        allowed = f"from {low} on" if high is None else f"in {low}..{high}"
        raise DataError(f"{place}={value} is not allowed; give a whole number {allowed}.")
    return value


def flag(place: str, value: Any) -> bool:
    """True or false.

    Raises:
        DataError: it is neither.
    """
    if not isinstance(value, bool):
        raise DataError(f"{place}={value} is not allowed: give true or false.")
    return value


def choice(place: str, value: Any, choices: Iterable[str]) -> str:
    """One of some names.

    Raises:
        DataError: it is none of them.
    """
    names = list(choices)
    if value not in names:
        raise DataError(f"{place}={value} does not exist; there are {', '.join(names)}.")
    return value


def interval(place: str, value: Any, low: float, high: float) -> tuple[float, float]:
    """(smallest, largest) of a pair that must be in order and lie in low..high.

    Raises:
        DataError: it is no such pair.
    """
    pair = _pair(value)
    fits = len(pair) == 2 and all(map(is_number, pair))
    if not fits or not low <= pair[0] <= pair[1] <= high:
        raise DataError(
            f"{place}={value} is not allowed; give [smallest, largest] within {low}..{high}."
        )
    return float(pair[0]), float(pair[1])


def grid(place: str, value: Any) -> tuple[int, int]:
    """(rows, columns), each in 1..64.

    Raises:
        DataError: it is no such pair.
    """
    pair = _pair(value)
    if len(pair) != 2:
        raise DataError(f"{place}={value} is not allowed; give [rows, columns].")
    return whole(place, pair[0], 1, 64), whole(place, pair[1], 1, 64)


def as_size(image_size: int | Sequence[int]) -> Size:
    """(height, width) of a square's side or of [H, W], in pixels.

    Raises:
        DataError: it is neither.
    """
    pair = image_size if isinstance(image_size, Sequence) else (image_size, image_size)
    if not is_size(pair):
        raise DataError(
            f"image_size={image_size} is not a size: give a whole number of pixels or [H, W]."
        )
    return pair[0], pair[1]


def _pair(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else ()
