"""How a photograph was held: the orientation tag of EXIF, and nothing else of EXIF.

Read from the bytes of the TIFF structure (EXIF 2.3, section 4.6.2): whatever the other tags hold,
even where they point nowhere, the orientation counts. XMP is ignored, as browsers do.
"""

import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from PIL import Image

HEADER = b"Exif\0\0"  # of some writers twice
ORIENTATION = 0x112
ORIENTATIONS = range(1, 9)
BYTE_ORDERS = {b"II": "<", b"MM": ">"}
INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}  # by the type of a TIFF field
HEIC_BOXES = 1 << 16  # bytes in which they are, before the pixels
ENTRY = 12  # bytes of a field: tag, type, count, and its value or where that lies


def read_orientation(image: Image.Image) -> int:
    """The EXIF orientation of an opened image, 1..8; 1 where it says none, or nonsense.

    Pillow turns TIFFs itself when they are loaded, and then says 1. HEIC files say in boxes of
    their own how they are turned, which is done as they are read: EXIF counts where these lack.
    """
    tags = getattr(image, "tag_v2", None)
    if tags is not None:
        found = tags.get(ORIENTATION)
        return found if isinstance(found, int) and found in ORIENTATIONS else 1
    if "original_orientation" in image.info:  # of a HEIC file; pillow-heif takes it out of EXIF
        return 1 if _is_turned(image) else image.info["original_orientation"] or 1
    exif = image.info.get("exif")
    if exif is None and "Raw profile type exif" in image.info:  # of a PNG, below three lines
        text = str(image.info["Raw profile type exif"])
        with suppress(ValueError):
            exif = bytes.fromhex("".join(text.split("\n")[3:]))
    return orientation_of(exif) if isinstance(exif, bytes) else 1


def _is_turned(image: Any) -> bool:
    """Whether a HEIC file that is not loaded yet has boxes that turn or mirror it."""
    if image.fp is None:
        return True
    place = image.fp.tell()
    image.fp.seek(0)
    head = image.fp.read(HEIC_BOXES)
    image.fp.seek(place)
    return b"irot" in head or b"imir" in head


def orientation_of(exif: bytes) -> int:
    """The same of the bytes of EXIF, with or without their header."""
    while exif.startswith(HEADER):
        exif = exif[len(HEADER) :]
    order = BYTE_ORDERS.get(exif[:2])
    if order is None or 42 not in exif[2:4]:
        return 1
    with suppress(struct.error):  # cut within a field
        return next((found for found in _values(exif, order) if found in ORIENTATIONS), 1)
    return 1


def _values(exif: bytes, order: str) -> Iterator[int]:
    """The values of the first directory's orientation tags; there should be one."""
    (start,) = struct.unpack_from(f"{order}I", exif, 4)
    (count,) = struct.unpack_from(f"{order}H", exif, start)
    for place in range(start + 2, start + 2 + count * ENTRY, ENTRY):
        tag, kind, _, _ = struct.unpack_from(f"{order}HHII", exif, place)
        if tag == ORIENTATION and kind in INTEGERS:
            yield struct.unpack_from(f"{order}{INTEGERS[kind]}", exif, place + 8)[0]
