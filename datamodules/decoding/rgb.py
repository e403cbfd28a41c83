"""From any pixel mode to 8-bit RGB."""

import numpy as np
from PIL import Image

BACKGROUND = (255, 255, 255)  # what is seen through a transparent image


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode in RGB: 16-bit levels keep their upper 8 bits, transparency is laid on white.

    Raises:
        ValueError: levels whose black and white nobody knows: whole numbers beyond 16 bits, or
            floating-point ones beyond 0..1.
    """
    if image.mode == "F":
        return Image.fromarray(_from_float(image)).convert("RGB")
    if image.mode.startswith("I"):
        return Image.fromarray(_from_16_bits(image)).convert("RGB")
    if image.has_transparency_data:
        background = Image.new("RGBA", image.size, (*BACKGROUND, 255))
        image = Image.alpha_composite(background, image.convert("RGBA"))
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_16_bits(image: Image.Image) -> np.ndarray:
    levels = np.asarray(image, np.int64)
    _require_range(levels, 65535)
    gray = (levels >> 8).astype(np.uint8)
    if "transparency" in image.info:  # one of the levels
        gray[levels == image.info["transparency"]] = BACKGROUND[0]
    return gray


def _from_float(image: Image.Image) -> np.ndarray:
    levels = np.asarray(image)
    _require_range(levels, 1)
    return np.rint(levels * np.float32(255)).astype(np.uint8)


def _require_range(levels: np.ndarray, white: int) -> None:
    low, high = levels.min(), levels.max()
    if not (low >= 0 and high <= white):  # so written that a NaN is refused
        raise ValueError(f"its levels are {low:g}..{high:g} instead of 0..{white}")
