"""From any pixel mode of 8 bits, or of floating-point numbers, to RGB."""

import numpy as np
from PIL import Image

BACKGROUND = (255, 255, 255)  # what is seen through a transparent image
PHOTOMETRIC, MIN_IS_WHITE = 262, 0  # a TIFF field


def to_rgb(image: Image.Image) -> Image.Image:
    """A loaded image in RGB; transparency is laid on white.

    Raises:
        ValueError: floating-point levels beyond 0..1, whose black and white nobody knows.
    """
    if image.mode == "F":
        return Image.fromarray(_from_float(image)).convert("RGB")
    if image.has_transparency_data:
        background = Image.new("RGBA", image.size, (*BACKGROUND, 255))
        image = Image.alpha_composite(background, image.convert("RGBA"))
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_float(image: Image.Image) -> np.ndarray:
    levels = np.asarray(image)
    low, high = levels.min(), levels.max()
    if not (low >= 0 and high <= 1):  # so written that a NaN is refused
        raise ValueError(f"its levels are {low:g}..{high:g} instead of 0..1")
    gray = np.rint(levels * np.float32(255)).astype(np.uint8)
    inverted = getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == MIN_IS_WHITE
    return 255 - gray if inverted else gray
