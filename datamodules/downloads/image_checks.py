"""Whether fetched bytes are the image that they should be."""

import threading
from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError

from datamodules.downloads.failure import Failure
from datamodules.workers import cores

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")  # whatever the name's ending says
TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height

# A decoded photograph takes 70 MB: no more of them at a time than there are cores to decode.
_decoding = threading.BoundedSemaphore(cores())


def check_image(path: Path, size: tuple[int, int] | None = None) -> None:
    """Decode the whole image.

    Args:
        path: the file.
        size: width and height that it must have when it is turned upright, in pixels.

    Raises:
        Failure: it is something else, broken, or of another size.
    """
    try:
        with _decoding, Image.open(path, formats=FORMATS) as image:
            if size is not None:
                _require_size(image.size, size, either_way=True)  # before a huge one is decoded
            image.load()
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) in TURNED
            upright = image.size[::-1] if turned else image.size
    except Failure:
        raise
    except UnidentifiedImageError:
        raise Failure(f"it is {_kind(path)}") from None
    except Exception as error:  # decoders meet broken files with exceptions of any kind
        raise Failure(f"it cannot be decoded ({' '.join(str(error).split())})") from error
    if size is not None:
        _require_size(upright, size)


def looks_right(path: Path, size: tuple[int, int]) -> bool:
    """Whether a file is an image of this size, upright or not, by its header: in a millisecond."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            return sorted(image.size) == sorted(size)
    except Exception:  # as above
        return False


def _require_size(
    found: tuple[int, int], wanted: tuple[int, int], *, either_way: bool = False
) -> None:
    if found == wanted or (either_way and found == wanted[::-1]):
        return
    raise Failure(
        f"it has {found[0]} x {found[1]} pixels where the annotations say {wanted[0]} x {wanted[1]}"
    )


def _kind(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(512).lstrip().lower()
    if not start:
        return "empty"
    if start.startswith((b"<!doctype html", b"<html", b"<?xml", b"<!--")):
        return "a web page and not an image"
    return f"no {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image"
