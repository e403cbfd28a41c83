"""Numbers of a recipe, checked: every mistake is one sentence that names its place."""

from collections.abc import Sequence
from typing import Any

from datamodules.errors import DataError


def number(place: str, value: Any, least: float, most: float) -> float:
    """`value`, which must lie in least..most.

    Raises:
        DataError: it does not, or is no number.
    """
    if not _is_number(value) or not least <= value <= most:
        raise DataError(f"{place}={value} is not allowed; it must lie in {least}..{most}.")
    return float(value)


def whole(place: str, value: Any, least: int, most: int) -> int:
    """`value`, which must be a whole number in least..most."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise DataError(f"{place}={value} is not allowed; give a whole number in {least}..{most}.")
    return value


def interval(place: str, value: Any, least: float, most: float) -> tuple[float, float]:
    """(smallest, largest) of a pair that must be in order and lie in least..most."""
    pair = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else ()
    fits = len(pair) == 2 and all(_is_number(end) for end in pair)
    if not fits or not least <= pair[0] <= pair[1] <= most:
        raise DataError(
            f"{place}={value} is not allowed; give [smallest, largest] within {least}..{most}."
        )
    return float(pair[0]), float(pair[1])


def grid(place: str, value: Any) -> tuple[int, int]:
    """(rows, columns), each at least 1."""
    pair = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else ()
    if len(pair) != 2:
        raise DataError(f"{place}={value} is not allowed; give [rows, columns].")
    return whole(place, pair[0], 1, 64), whole(place, pair[1], 1, 64)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
