"""Whether what a module gives is a feature map N x C x H x W."""

from collections.abc import Sequence

from lightning_modules.errors import ConfigError


def check_map(shape: Sequence[int], image_size: tuple[int, int]) -> None:
    """Refuses a four-dimensional output whose channels come last, as Swin's do.

    Only the second and third dimension then have the image's proportions.

    Args:
        shape: 1 x C x H x W of the output for one image.
        image_size: (height, width) in pixels of that image.

    Raises:
        ConfigError: it looks like N x H x W x C.
    """
    _, a, b, c = shape
    if _proportional(a, b, image_size) and not _proportional(b, c, image_size):
        raise ConfigError(
            f"its output {in_words(shape)} looks like N x H x W x C, not N x C x H x W."
        )


def in_words(shape: Sequence[int]) -> str:
    """Such as `1 x 60 x 8 x 8`."""
    return " x ".join(map(str, shape))


def _proportional(rows: int, columns: int, image_size: tuple[int, int]) -> bool:
    """Up to the rounding of one row or column."""
    height, width = image_size
    return abs(rows * width - columns * height) <= max(height, width)
