"""Files that cannot be read as images: what is wrong with each, and what can still be seen."""

from pathlib import Path

import numpy as np
from PIL import ImageFile, UnidentifiedImageError

from datamodules.decoding.decoding import decode_image
from datamodules.errors import DataError

SHOWN_BYTES = 12  # of a file that is no image


def what_is_wrong(path: str, error: DataError) -> str:
    """Why a file could not be decoded, in a few words.

    Args:
        path: The file.
        error: What was raised when it was decoded.
    """
    file = Path(path)
    if file.is_dir():
        return "a folder, not a file"
    if not file.exists():
        return "a link to nothing" if file.is_symlink() else "there is no such file"
    if file.stat().st_size == 0:
        return "the file is empty"
    cause = error.__cause__
    if cause is None:  # decoded, and not as it should be
        return str(error).removeprefix(f"The image {path} ").rstrip(".")
    if isinstance(cause, UnidentifiedImageError):
        with file.open("rb") as opened:
            return f"not an image: it begins with {opened.read(SHOWN_BYTES)!r}"
    return " ".join(str(cause).split()) or type(cause).__name__


def decode_what_is_left(path: str) -> np.ndarray | None:
    """The readable part of a damaged file, uint8 H x W x 3, or None where there is none.

    Not for threads: Pillow has one switch for all decoding.
    """
    strict = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        return np.asarray(decode_image(path))
    except DataError:
        return None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = strict
