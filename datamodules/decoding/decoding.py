"""From a file to pixels: RGB, upright, cut to a box and resized."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from datamodules.decoding.crops import ResizeMode, crop_and_resize, match_aspect_ratio
from datamodules.decoding.rgb import to_rgb
from datamodules.errors import DataError
from datamodules.schema import Size
from datamodules.schema import as_size as as_size  # sizes are asked for where they are used
from datamodules.sources import Box

# A reduced photo has at least so many pixels for one of the result: no sharpness is lost.
OVERSAMPLING = 3
TURNED = range(5, 9)  # the EXIF orientations that swap width and height

# Pillow refuses images of more than 179 million pixels; its warning from half of that is no help.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def decode_crops(
    path: str,
    boxes: Sequence[Box | None],
    *,
    size: Size,
    resize_mode: ResizeMode,
    annotated: tuple[int, int] | None = None,
) -> np.ndarray:
    """Decode a file once and cut all its boxes.

    Large JPEGs of which only whole images are wanted are decoded at a reduced scale, which is
    several times faster and changes levels by less than one on average.

    Args:
        path: the image file.
        boxes: each a box, padded with grey where it reaches outside, or None for the whole image.
        size: height and width of every crop.
        resize_mode: what gives when a box has another aspect ratio: `stretch` distorts it, `pad`
            widens the box (showing what is around it), `crop` narrows it; both about its centre.
        annotated: width and height that the upright image must have, where they are known.

    Returns:
        uint8 K x H x W x 3, one per box.

    Raises:
        DataError: the file cannot be decoded, or has another size than the annotated one.
    """
    whole = all(box is None for box in boxes)
    image, scale = _decode(path, (size, resize_mode) if whole else None)
    width, height = image.width * scale, image.height * scale
    _require_size(path, (width, height), annotated)
    areas = [match_aspect_ratio(box or (0, 0, width, height), size, resize_mode) for box in boxes]
    return np.stack([crop_and_resize(image, area, size, scale) for area in areas])


def decode_image(path: str, *, annotated: tuple[int, int] | None = None) -> Image.Image:
    """The first frame of a file, in RGB, turned upright as its EXIF orientation says.

    Transparent images are laid on white; 16-bit ones keep their upper 8 bits.

    Args:
        path: the image file.
        annotated: width and height that it must have, where they are known.

    Raises:
        DataError: the file is absent, truncated, too large to be safe, not an image, or has another
            size than the annotated one.
    """
    image, _ = _decode(path)
    _require_size(path, image.size, annotated)
    return image


def _decode(path: str, whole: tuple[Size, ResizeMode] | None = None) -> tuple[Image.Image, int]:
    """An image, and how many pixels of the file, in each direction, one of its pixels stands for.

    Args:
        path: the image file.
        whole: the size and resize mode of a picture of the whole image, if nothing else is wanted.
    """
    try:
        _require_regular(path)
        # Not by its name: Pillow would map plain TIFFs into memory, and scramble turned ones.
        with Path(path).open("rb") as file, Image.open(file) as image:
            if image.format == "EPS":
                raise OSError("PostScript is a program, not an image")
            scale = _reduce(image, *whole) if whole else 1
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return to_rgb(image), scale
    except Exception as error:  # decoders meet broken files with exceptions of any kind
        raise DataError(f"The image {path} cannot be decoded ({_reason(error)}).") from error


def _require_regular(path: str) -> None:
    # Opening a pipe would wait for ever.
    if Path(path).exists() and not Path(path).is_file():
        raise OSError("it is not a file")


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is not an image of a known format"
    system = error.strerror if isinstance(error, OSError) else None
    return " ".join((system or str(error)).split()) or type(error).__name__


def _require_size(path: str, found: tuple[int, int], annotated: tuple[int, int] | None) -> None:
    if annotated is not None and found != annotated:
        turned = ", as if its EXIF orientation were ignored" if found == annotated[::-1] else ""
        raise DataError(
            f"The image {path} is {found[0]} x {found[1]} pixels and annotated as {annotated[0]} x "
            f"{annotated[1]}{turned}: its boxes would be wrong."
        )


def _reduce(image: Image.Image, size: Size, resize_mode: ResizeMode) -> int:
    """Let a JPEG be decoded at 1/8, 1/4 or 1/2 of its scale if enough pixels remain.

    Only at a scale that divides both sides: then no edge falls within a pixel.
    """
    width, height = image.size
    if image.getexif().get(ExifTags.Base.Orientation) in TURNED:
        width, height = height, width
    x0, y0, x1, y1 = match_aspect_ratio((0, 0, width, height), size, resize_mode)
    surplus = min((x1 - x0) / size[1], (y1 - y0) / size[0]) / OVERSAMPLING
    for scale in (8, 4, 2):
        if scale <= surplus and width % scale == height % scale == 0:
            reduced = image.draft(None, (image.width // scale, image.height // scale))
            return scale if reduced else 1
    return 1


def resize(pixels: np.ndarray, size: Size) -> np.ndarray:
    """Bring uint8 H x W x 3 to another size, with antialiasing."""
    if pixels.shape[:2] == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BILINEAR))
