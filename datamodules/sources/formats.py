"""Which files are images: what Pillow can decode here, by name or else by the first bytes."""

import importlib.util
import mimetypes
import os
import warnings
from functools import cache
from typing import BinaryIO

HEAD = 32  # bytes that tell every format which can be told
# Major brands of the container that HEIC and HEIF files are (ISO/IEC 23008-12, section 10).
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
UNFINISHED = (".part", ".partial", ".crdownload", ".download", ".tmp")  # browsers, wget, rsync

# What nearly all images end in: known without loading Pillow, and what sentences name.
IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

NO_FORMAT = "of no image format"
NEEDS_HEIF = "in HEIC or HEIF, which the extra [heic] reads (pip install 'model-diet[heic]')"


@cache
def readable_formats() -> tuple[str, ...]:
    """The formats that Pillow decodes here; HEIF is one of them where pillow-heif is installed.

    PostScript, which is a program, and what Pillow can merely name (films, weather data) are not.
    """
    from PIL import Image, ImageFile

    Image.init()
    if importlib.util.find_spec("pillow_heif") is not None:
        from pillow_heif import register_heif_opener

        register_heif_opener()
    return tuple(
        name
        for name, (opener, _) in Image.OPEN.items()
        if Image.MIME.get(name, "image/").startswith("image/")
        and not (isinstance(opener, type) and issubclass(opener, ImageFile.StubImageFile))
    )


@cache
def image_suffixes() -> frozenset[str]:
    """The suffixes of all these formats, in small letters, with their dots."""
    from PIL import Image

    readable = set(readable_formats())
    return frozenset(suffix for suffix, name in Image.EXTENSION.items() if name in readable)


def is_image_name(name: str) -> bool | None:
    """Whether a file is an image, by its name; None where its first bytes must tell.

    Names say no where they end in a suffix that is known for something else.
    """
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122  (of very many names)
    if suffix in IMAGE_SUFFIXES or suffix in image_suffixes():
        return True
    return None if _may_be_image(suffix) else False


@cache
def _may_be_image(suffix: str) -> bool:
    if suffix in UNFINISHED:
        return False
    known = mimetypes.MimeTypes().types_map[True].get(suffix, "image/")  # not of this machine
    return known.startswith("image/") or known == "application/octet-stream"


def why_no_image(file: BinaryIO) -> str | None:
    """None if Pillow knows the format of an open file, else what it is, in a few words."""
    from PIL import Image

    head = file.read(HEAD)
    if _is_accepted(head.ljust(HEAD, b"\0")):
        file.seek(0)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                Image.open(file, formats=readable_formats())
            return None
        except Image.DecompressionBombError:  # the decoder says so, with its name
            return None
        except Exception:  # plugins meet foreign bytes with exceptions of any kind
            return NO_FORMAT
    return NEEDS_HEIF if needs_heif(head) else NO_FORMAT


def needs_heif(head: bytes) -> bool:
    """Whether a file that begins so is a HEIC or HEIF image, and the package for it is missing."""
    is_heif = head[4:8] == b"ftyp" and head[8:12] in HEIF_BRANDS
    return is_heif and "HEIF" not in readable_formats()


def _is_accepted(head: bytes) -> bool:
    """Whether a format claims these bytes; those without such a test (TGA) go by name alone."""
    from PIL import Image

    accepts = (Image.OPEN[name][1] for name in readable_formats())
    return any(accept is not None and accept(head) is True for accept in accepts)
