"""From a file to pixels: RGB, upright, cut to a box and resized."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from datamodules.errors import DataError

Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels
Size = tuple[int, int]  # height, width in pixels
Fit = Literal["stretch", "pad", "crop"]

OUTSIDE = (128, 128, 128)  # what a crop shows beyond the image: no edge that looks like an object
BEHIND = (255, 255, 255)  # what is seen through a transparent image


def as_size(image_size: int | Sequence[int]) -> Size:
    """(height, width) of a square's side or of [H, W], in pixels."""
    sides = image_size if isinstance(image_size, Sequence) else (image_size, image_size)
    size = tuple(sides)
    if len(size) != 2 or not all(isinstance(n, int) and n > 0 for n in size):
        raise DataError(
            f"image_size={image_size} is not a size: give a whole number of pixels or [H, W]."
        )
    return size


def decode_crops(path: str, boxes: Sequence[Box | None], *, size: Size, fit: Fit) -> np.ndarray:
    """Decode a file once and cut all its boxes.

    Args:
        path: The image file.
        boxes: Each a box, padded with grey where it reaches outside, or None for the whole image.
        size: Height and width of every crop.
        fit: What gives when a box has another aspect ratio: `stretch` distorts it, `pad` widens
            the box (showing what is around it), `crop` narrows it; both about its centre.

    Returns:
        uint8 K x H x W x 3, one per box.

    Raises:
        DataError: the file cannot be decoded.
    """
    image = decode_image(path)
    whole = (0, 0, *image.size)
    return np.stack([_cut(image, _fitted(box or whole, size, fit), size) for box in boxes])


def decode_image(path: str) -> Image.Image:
    """The first frame of a file, in RGB, turned upright as its EXIF orientation says.

    Transparent images are laid on white; 16-bit ones keep their upper 8 bits.

    Raises:
        DataError: the file is absent, truncated, too large to be safe, or not an image.
    """
    try:
        with Image.open(path) as image:
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return _to_rgb(image)
    except Exception as error:  # decoders meet broken files with exceptions of any kind
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"The image {path} cannot be decoded ({reason}).") from error


def resize(pixels: np.ndarray, size: Size) -> np.ndarray:
    """Bring uint8 H x W x 3 to another size, with antialiasing."""
    if pixels.shape[:2] == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BILINEAR))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        levels = np.asarray(image, np.int64) >> 8
        image = Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, (*BEHIND, 255))
        image = Image.alpha_composite(ground, image.convert("RGBA"))
    return image.convert("RGB")


def _fitted(box: Box, size: Size, fit: Fit) -> Box:
    """The box with the aspect ratio of `size`, unless it may be stretched."""
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    if fit == "stretch" or width * size[0] == height * size[1]:
        return box
    ratio = size[1] / size[0]
    choose = {"pad": max, "crop": min}[fit]
    new_width = max(1, round(choose(width, height * ratio)))
    new_height = max(1, round(choose(height, width / ratio)))
    left, top = x0 + (width - new_width) // 2, y0 + (height - new_height) // 2
    return left, top, left + new_width, top + new_height


def _cut(image: Image.Image, box: Box, size: Size) -> np.ndarray:
    """One crop, uint8 H x W x 3: the part of the box inside the image, resized into place."""
    x0, y0, x1, y1 = box
    inside = max(x0, 0), max(y0, 0), min(x1, image.width), min(y1, image.height)
    crop = np.full((*size, 3), OUTSIDE, np.uint8)
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        return crop
    left, right = _span(inside[0] - x0, inside[2] - x0, size[1] / (x1 - x0), size[1])
    top, bottom = _span(inside[1] - y0, inside[3] - y0, size[0] / (y1 - y0), size[0])
    target = right - left, bottom - top
    crop[top:bottom, left:right] = image.resize(target, Image.Resampling.BILINEAR, box=inside)
    return crop


def _span(start: int, stop: int, scale: float, length: int) -> tuple[int, int]:
    """Where start..stop of the box falls in a crop of `length` pixels: one pixel at least."""
    first = min(round(start * scale), length - 1)
    return first, max(round(stop * scale), first + 1)
