"""What a setting must be; the refusal says its key, its value and what is allowed."""

from collections.abc import Iterable, Sequence
from typing import Any

from compression.errors import CompressionError


def is_number(value: Any) -> bool:
    """True of whole and other numbers; not of true and false."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def require(fits: bool, key: str, value: Any, wanted: str) -> None:
    """Refuses what does not fit.

    Raises:
        CompressionError: `key is wanted, not value`.
    """
    if not fits:
        raise CompressionError(f"{key} is {wanted}, not {value!r}.")


def require_ratio(key: str, value: Any) -> None:
    """Refuses all but numbers above 0, up to 1."""
    require(is_number(value) and 0 < value <= 1, key, value, "a ratio in (0, 1]")


def require_count(key: str, value: Any, *, minimum: int = 1) -> None:
    """Refuses all but whole numbers from `minimum`."""
    require(type(value) is int and value >= minimum, key, value, f"a number from {minimum}")


def require_choice(key: str, value: Any, choices: Iterable[str]) -> None:
    """Refuses all but the names given."""
    names = list(choices)
    require(value in names, key, value, f"one of {', '.join(names)}")


def height_width(image_size: int | Sequence[int]) -> tuple[int, int]:
    """`image_size` as (height, width) in pixels; an int means a square.

    Raises:
        CompressionError: it is neither a positive int nor two of them.
    """
    size = [image_size, image_size] if isinstance(image_size, int) else image_size
    try:
        height, width = size
        if height >= 1 and width >= 1 and int(height) == height and int(width) == width:
            return int(height), int(width)
    except (TypeError, ValueError):
        pass
    raise CompressionError(
        f"An image size is a positive int or [height, width] in pixels, not {image_size!r}."
    )
