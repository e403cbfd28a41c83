"""An image file without what its pixels do not need, where Pillow stumbles over that.

Texts and colour profiles of megabytes, checksums that are wrong, tags that point nowhere: Pillow
refuses the whole file for them. What is left out changes no pixel: colours are not managed here.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Literal

from datamodules.sources.orientation import BYTE_ORDERS, HEADER, ORIENTATION, orientation_of

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
# Transparency, the bits that count, and EXIF, if their checksums are right; the rest of what is
# optional goes, with the later frames of an animation.
CHUNKS_KEPT = (b"tRNS", b"sBIT", b"eXIf")
SEGMENTS_KEPT = {0xE0: 18, 0xEE: 16}  # JFIF and Adobe, if whole: they say what components mean
SEGMENTS, COMMENT = range(0xE0, 0xF0), 0xFE
EXIF = 0xE1
START_OF_SCAN = 0xDA
TIFF_TAGS_KEPT = {  # size, storage, levels and orientation
    *(254, 255, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 280, 281, 284, 292, 293),
    *(317, 320, 322, 323, 324, 325, 332, 338, 339, 347, *range(512, 522), *range(529, 533)),
}
TIFF_ENTRY = 12  # bytes
ENDIAN: dict[str, Literal["little", "big"]] = {"<": "little", ">": "big"}


def without_metadata(data: bytes) -> bytes | None:
    """The same picture in a file of its own, or None where nothing can be left out."""
    if data.startswith(PNG):
        return PNG + b"".join(_chunks(data))
    if data.startswith(JPEG):
        return data[:2] + b"".join(_segments(data))
    if data[:4] in (b"II*\0", b"MM\0*"):
        return _tiff(data)
    return None


def _chunks(data: bytes) -> Iterator[bytes]:
    place = len(PNG)
    while place < len(data):
        stop = place + 12 + int.from_bytes(data[place : place + 4], "big")
        chunk, place = data[place:stop], stop
        kind = chunk[4:8]
        critical = kind[:1].isupper()
        right = zlib.crc32(chunk[4:-4]).to_bytes(4, "big") == chunk[-4:]
        if critical or (kind in CHUNKS_KEPT and right):
            yield chunk


def _segments(data: bytes) -> Iterator[bytes]:
    """All that follows the first marker, with the orientation as the only EXIF tag."""
    place = 2
    while data[place : place + 1] == b"\xff":
        kind = data[place + 1]
        if kind == START_OF_SCAN:
            break
        stop = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        segment, place = data[place:stop], stop
        if kind == EXIF and segment[4:].startswith(HEADER):
            yield _exif(orientation_of(segment[4:]))
        elif len(segment) >= SEGMENTS_KEPT.get(kind, 0) and (
            kind in SEGMENTS_KEPT or not (kind in SEGMENTS or kind == COMMENT)
        ):
            yield segment
    yield data[place:]


def _exif(orientation: int) -> bytes:
    tags = struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, ORIENTATION, 3, 1, orientation, 0, 0)
    return b"\xff\xe1" + struct.pack(">H", 2 + len(HEADER + tags)) + HEADER + tags


def _tiff(data: bytes) -> bytes | None:
    """With another first directory, at the end; it is the only one."""
    order = BYTE_ORDERS[data[:2]]
    try:
        (start,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, start)
    except struct.error:
        return None
    places = range(start + 2, start + 2 + count * TIFF_ENTRY, TIFF_ENTRY)
    entries = [data[place : place + TIFF_ENTRY] for place in places]
    kept = [e for e in entries if int.from_bytes(e[:2], ENDIAN[order]) in TIFF_TAGS_KEPT]
    padding = b"\0" * (len(data) % 2)
    head = data[:4] + struct.pack(f"{order}I", len(data) + len(padding))
    directory = struct.pack(f"{order}H", len(kept)) + b"".join(kept) + bytes(4)
    return head + data[8:] + padding + directory
