"""From a file to pixels: RGB, upright, cut to a box and resized."""

import warnings
from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from datamodules.decoding.crops import ResizeMode, crop_and_resize, match_aspect_ratio
from datamodules.decoding.deep_reading import read_deep
from datamodules.decoding.jpeg import load_jpeg
from datamodules.decoding.levels import ALL_BITS, LevelRange
from datamodules.decoding.metadata import without_metadata
from datamodules.decoding.notices import CLIPPED, METADATA, NO_END
from datamodules.decoding.rgb import to_rgb
from datamodules.errors import DataError
from datamodules.schema import Size
from datamodules.schema import as_size as as_size  # sizes are asked for where they are used
from datamodules.sources import Box
from datamodules.sources.formats import HEAD, NEEDS_HEIF, needs_heif, readable_formats
from datamodules.sources.orientation import read_orientation

# A reduced photo has at least so many pixels for one of the result: no sharpness is lost.
OVERSAMPLING = 3
POSTSCRIPT = (b"%!PS", b"\xc5\xd0\xd3\xc6")  # how its files begin
TURNED = range(5, 9)  # the EXIF orientations that swap width and height
UPRIGHT = {  # what turns the stored image upright, by its EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Where EXIF ends too early; what is read of it here is its orientation.
warnings.filterwarnings("ignore", "Corrupt EXIF data|Truncated File Read", UserWarning)
# Pillow refuses images of more than 179 million pixels; its warning from half of that is no help.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class Crops(NamedTuple):
    """Boxes of a file.

    Attributes:
        pixels: uint8 K x H x W x 3.
        notices: what was odd about the file (see `notices`).
        levels: what it shows of the bits in use; None: it has 8 bits in a sample.
    """

    pixels: np.ndarray
    notices: tuple[str, ...]
    levels: LevelRange | None


class _Decoded(NamedTuple):
    image: Image.Image  # RGB, upright
    scale: int  # pixels of the file, in each direction, for one of its pixels
    notices: tuple[str, ...]
    levels: LevelRange | None


def decode_crops(
    path: str,
    boxes: Sequence[Box | None],
    *,
    size: Size,
    resize_mode: ResizeMode,
    annotated: tuple[int, int] | None = None,
    levels: int | None = None,
) -> np.ndarray:
    """`read_crops`, of which only the pixels are wanted: uint8 K x H x W x 3, one per box."""
    found = read_crops(
        path, boxes, size=size, resize_mode=resize_mode, annotated=annotated, levels=levels
    )
    return found.pixels


def read_crops(
    path: str,
    boxes: Sequence[Box | None],
    *,
    size: Size,
    resize_mode: ResizeMode,
    annotated: tuple[int, int] | None = None,
    levels: int | None = None,
) -> Crops:
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
        levels: bits in use of samples of more than 8: the rule of the data set. None: all 16.

    Raises:
        DataError: the file cannot be decoded, or has another size than the annotated one.
    """
    whole = all(box is None for box in boxes)
    image, scale, notices, found = _decode(path, levels, (size, resize_mode) if whole else None)
    width, height = image.width * scale, image.height * scale
    _require_size(path, (width, height), annotated)
    areas = [match_aspect_ratio(box or (0, 0, width, height), size, resize_mode) for box in boxes]
    crops = np.stack([crop_and_resize(image, area, size, scale) for area in areas])
    return Crops(crops, notices, found)


def decode_image(
    path: str, *, annotated: tuple[int, int] | None = None, levels: int | None = None
) -> Image.Image:
    """The first frame of a file, in RGB, turned upright as its EXIF orientation says.

    Transparent images are laid on white; of more than 8 bits in use the upper 8 are kept.

    Args:
        path: the image file.
        annotated: width and height that it must have, where they are known.
        levels: bits in use of samples of more than 8: the rule of the data set. None: all 16.

    Raises:
        DataError: the file is absent, truncated, too large to be safe, not an image, or has another
            size than the annotated one.
    """
    image = _decode(path, levels).image
    _require_size(path, image.size, annotated)
    return image


def read_level_range(path: str) -> LevelRange | None:
    """What a file shows of the bits in use; None where samples have 8 bits, or it cannot be read.

    Of most files only the header is looked at.
    """
    with (
        suppress(Exception),
        Path(path).open("rb") as file,
        Image.open(file, formats=readable_formats()) as image,
    ):
        deep = read_deep(image, file)
        return None if deep is None else deep.range
    return None


def _decode(
    path: str, levels: int | None, whole: tuple[Size, ResizeMode] | None = None
) -> _Decoded:
    """An image, and what was found about its file.

    Args:
        path: the image file.
        levels: bits in use of samples of more than 8.
        whole: the size and resize mode of a picture of the whole image, if nothing else is wanted.
    """
    try:
        _require_regular(path)
        # Not by its name: Pillow would map plain TIFFs into memory, and scramble turned ones.
        with Path(path).open("rb") as file:
            try:
                return _read(file, levels, whole)
            except Exception:
                file.seek(0)
                with suppress(Exception):  # the first reason is the true one
                    if (spare := without_metadata(file.read())) is not None:
                        found = _read(BytesIO(spare), levels, whole)
                        return found._replace(notices=(*found.notices, METADATA))
                raise
    except Exception as error:  # decoders meet broken files with exceptions of any kind
        raise DataError(f"The image {path} cannot be decoded ({_reason(error, path)}).") from error


def _read(file: BinaryIO, levels: int | None, whole: tuple[Size, ResizeMode] | None) -> _Decoded:
    with Image.open(file, formats=readable_formats()) as image:
        scale = 1
        notices: tuple[str, ...] = ()
        if isinstance(image, JpegImageFile):
            scale = _reduce(image, *whole) if whole else 1
            if not load_jpeg(image, file):
                notices = (NO_END,)
        elif (deep := read_deep(image, file)) is not None:
            bits = ALL_BITS if levels is None else levels
            notices = (CLIPPED,) if deep.exceeds(bits) else ()
            picture = to_rgb(deep.to_image(bits))
            return _Decoded(_upright(picture, read_orientation(image)), 1, notices, deep.range)
        held = read_orientation(image) if image.format == "HEIF" else 1
        image.load()
        picture = to_rgb(image)
        return _Decoded(_upright(picture, max(held, read_orientation(image))), scale, notices, None)


def _upright(picture: Image.Image, orientation: int) -> Image.Image:
    method = UPRIGHT.get(orientation)
    return picture if method is None else picture.transpose(method)


def _require_regular(path: str) -> None:
    # Opening a pipe would wait for ever.
    if Path(path).exists() and not Path(path).is_file():
        raise OSError("it is not a file")


def _reason(error: Exception, path: str) -> str:
    if isinstance(error, UnidentifiedImageError):
        with Path(path).open("rb") as file:
            head = file.read(HEAD)
        if head.startswith(POSTSCRIPT):
            return "PostScript is a program, not an image"
        return f"it is {NEEDS_HEIF if needs_heif(head) else 'not an image of a known format'}"
    system = error.strerror if isinstance(error, OSError) else None
    return " ".join((system or str(error)).split()) or type(error).__name__


def _require_size(path: str, found: tuple[int, int], annotated: tuple[int, int] | None) -> None:
    if annotated is not None and found != annotated:
        turned = ", as if its EXIF orientation were ignored" if found == annotated[::-1] else ""
        raise DataError(
            f"The image {path} is {found[0]} x {found[1]} pixels and annotated as {annotated[0]} x "
            f"{annotated[1]}{turned}: its boxes would be wrong."
        )


def _reduce(image: JpegImageFile, size: Size, resize_mode: ResizeMode) -> int:
    """Let a JPEG be decoded at 1/8, 1/4 or 1/2 of its scale if enough pixels remain.

    Only at a scale that divides both sides: then no edge falls within a pixel.
    """
    width, height = image.size
    if read_orientation(image) in TURNED:
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
