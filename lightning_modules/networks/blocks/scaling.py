"""How the depth and width multiples act on a row."""

from typing import Any


def make_divisible(value: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `value`, never less than 90 % of it (MobileNetV2)."""
    nearest = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * value else nearest


def scale_repeat(repeat: int, depth_multiple: float) -> int:
    """Repeats after scaling; a single block stays single."""
    return max(round(repeat * depth_multiple), 1) if repeat > 1 else repeat


def scale_arguments(
    arguments: dict[str, Any], scaled: tuple[str, ...], width_multiple: float
) -> dict[str, Any]:
    """Channels become a multiple of 8, also at width 1; `num_classes` is exact and stays."""
    return {
        name: make_divisible(value * width_multiple)
        if name in scaled and isinstance(value, int)
        else value
        for name, value in arguments.items()
    }
