"""The one reading of `image_size`: an int, or [height, width]."""

from collections.abc import Sequence

from compression.errors import CompressionError


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
