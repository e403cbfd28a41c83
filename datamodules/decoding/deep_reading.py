"""Reading the levels of images with more than 8 bits in a sample, as their files hold them.

Pillow gives all 16 bits of gray images only; of those in color it gives the upper byte of each
level, so that 12 bits are all but black. They are read twice here, the second time with the bytes
the other way round. JPEG 2000 in color is left to OpenCV: what Pillow rounds up to 256 it makes 0.
"""

import sys
from typing import Any, BinaryIO

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import II, MM, OPEN_INFO

from datamodules.decoding.deep import DeepImage
from datamodules.decoding.levels import ALL_BITS

OTHER_BYTE = {
    f"{mode};16{order}": f"{mode};16{other}"
    for mode in ("RGB", "RGBX", "RGBA", "CMYK", *"RGBA")
    for order, other in ("LB", "BL", "NB" if sys.byteorder == "little" else "NL")
}
GRAY_ALPHA = "LA;16B"  # of a PNG
PNG_HEADER, CHUNK = 8, 8  # bytes
# TIFF fields, and values of theirs.
PHOTOMETRIC, BITS_PER_SAMPLE, MAX_SAMPLE_VALUE, SAMPLE_FORMAT = 262, 258, 281, 339
MIN_IS_WHITE, SIGNED = 0, 2
J2K_SIZE, J2K_BITS = b"\xff\x4f\xff\x51", 42  # how a code stream begins; where its bits stand
J2K_SEARCHED = 1 << 16  # bytes, of a file's boxes

# What Pillow's table of TIFF modes lacks: kin of what it has.
for _order, _mode in ((II, "I;16"), (MM, "I;16B")):
    OPEN_INFO.setdefault((_order, MIN_IS_WHITE, (1,), 1, (16,), ()), (_mode, _mode))
    OPEN_INFO.setdefault((_order, MIN_IS_WHITE, (SIGNED,), 1, (16,), ()), ("I", f"{_mode}S"))
OPEN_INFO.setdefault((MM, 1, (1,), 1, (12,), ()), ("I;16", "I;12"))
OPEN_INFO.setdefault((MM, 1, (1,), 1, (32,), ()), ("I", "I;32B"))


def read_deep(image: Image.Image, file: BinaryIO) -> DeepImage | None:
    """An image with more than 8 bits in a sample; None: it has no more.

    Args:
        image: as `Image.open` gave it, not yet loaded.
        file: that it was opened from.

    Raises:
        ValueError: the file is cut.
    """
    if image.format == "PPM":
        return _ppm(image, file)
    if image.format == "JPEG2000":
        return _jpeg_2000(image, file)
    if image.format == "PNG":
        return _png(image, file)
    if image.format == "TIFF":
        return _tiff(image, file)
    return DeepImage(_pixels(image), "L") if image.mode.startswith("I") else None


def _png(image: Any, file: BinaryIO) -> DeepImage | None:
    raw = image.tile[0].args if image.tile else ""
    if not str(raw).endswith(";16B"):
        return None
    declared = _significant_bits(file)
    transparent = image.info.get("transparency")
    if raw == GRAY_ALPHA:
        # Pillow would drop the lower bytes: level and opacity as one number of 32 bits.
        image._mode = "I"
        image.tile = [image.tile[0]._replace(args="I;32B")]
        both = _pixels(image).astype(np.uint32)
        return DeepImage(np.stack([both >> 16, both & 0xFFFF], -1), "LA", declared)
    if image.mode == "I;16":
        return DeepImage(_pixels(image), "L", declared, transparent=transparent)
    return DeepImage(_both_bytes(image, file), image.mode, declared, transparent=transparent)


def _significant_bits(file: BinaryIO) -> int:
    """What a PNG says in its sBIT chunk, the most of its colors; 0: it has none."""
    place = PNG_HEADER
    while True:
        file.seek(place)
        head = file.read(CHUNK)
        if len(head) < CHUNK or head[4:] == b"IDAT":
            return 0
        size = int.from_bytes(head[:4], "big")
        if head[4:] == b"sBIT":
            colors = 3 if size >= 3 else 1  # what follows is of the opacity
            return max(file.read(size)[:colors], default=0)
        place += CHUNK + size + 4  # and its checksum


def _tiff(image: Any, file: BinaryIO) -> DeepImage | None:
    tags = image.tag_v2
    signed = SIGNED in tags.get(SAMPLE_FORMAT, ())
    bits = max(tags.get(BITS_PER_SAMPLE, (1,)))
    declared = bits if 8 < bits < ALL_BITS else _max_sample_bits(tags.get(MAX_SAMPLE_VALUE, 0))
    full = ALL_BITS - 1 if signed and bits == ALL_BITS else ALL_BITS
    if image.mode.startswith("I"):
        inverted = tags.get(PHOTOMETRIC) == MIN_IS_WHITE
        return DeepImage(_pixels(image), "L", declared, full, inverted)
    if bits != ALL_BITS or not image.tile:
        return None
    _mend_planes(image)
    if _raw_mode(image.tile[0]) not in OTHER_BYTE:
        return None
    return DeepImage(_both_bytes(image, file), image.mode, declared, full)


def _max_sample_bits(value: Any) -> int:
    """What a TIFF's MaxSampleValue, one or one for each channel, says; 0: nothing."""
    values = value if isinstance(value, tuple) else (value,)
    found = max((v for v in values if isinstance(v, int)), default=0).bit_length()
    return found if 8 < found <= ALL_BITS else 0


def _mend_planes(image: Any) -> None:
    """Let Pillow read planes of 16 bits, which it takes for planes of 8."""
    order = "L" if image.tag_v2.prefix == II else "B"
    image.tile = [
        _with_raw_mode(tile, f"{raw};16{order}") if len(raw := _raw_mode(tile)) == 1 else tile
        for tile in image.tile
    ]


def _both_bytes(image: Any, file: BinaryIO) -> np.ndarray:
    """All bits of an image in color, by reading it twice."""
    tiles = image.tile
    upper = _pixels(image)
    file.seek(0)
    with Image.open(file, formats=[image.format]) as other:
        other.tile = [_with_raw_mode(tile, OTHER_BYTE[_raw_mode(tile)]) for tile in tiles]
        lower = _pixels(other)
    return upper.astype(np.uint16) << 8 | lower


def _raw_mode(tile: Any) -> str:
    return tile.args if isinstance(tile.args, str) else tile.args[0]


def _with_raw_mode(tile: Any, raw: str) -> Any:
    return tile._replace(args=raw if isinstance(tile.args, str) else (raw, *tile.args[1:]))


def _ppm(image: Any, file: BinaryIO) -> DeepImage | None:
    """Of a maximal value above 255, which Pillow would scale to 255 or 65535."""
    (tile,) = image.tile
    if tile.codec_name == "raw":
        return DeepImage(_pixels(image), "L") if image.mode == "I" else None
    raw, most = tile.args
    if most <= 255:
        return None
    shape = (*image.size[::-1], *((3,) if raw == "RGB" else ()))
    file.seek(tile.offset)
    if tile.codec_name == "ppm":
        data = file.read(2 * int(np.prod(shape)))
        levels = np.frombuffer(data[: len(data) // 2 * 2], ">u2")
    else:
        text = b"\n".join(line.partition(b"#")[0] for line in file.read().splitlines())
        levels = np.array(text.split()[: int(np.prod(shape))], np.int64)
    if levels.size < np.prod(shape):
        raise ValueError("image file is truncated")
    levels = levels.reshape(shape)
    bits = most.bit_length()
    return DeepImage(levels, raw, bits if bits < ALL_BITS else 0)


def _jpeg_2000(image: Any, file: BinaryIO) -> DeepImage | None:
    if image.mode not in ("I;16", "RGB", "RGBA"):
        return None
    file.seek(0)
    data = file.read()
    place = data.find(J2K_SIZE, 0, J2K_SEARCHED) + J2K_BITS
    bits = (data[place] & 0x7F) + 1 if place >= J2K_BITS else 0
    if not 8 < bits <= ALL_BITS:
        return None
    declared = bits if bits < ALL_BITS else 0
    if image.mode == "I;16":
        file.seek(0)
        return DeepImage(_pixels(image) >> ALL_BITS - bits, "L", declared)
    import cv2  # where it is needed: it takes a while

    levels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if levels is None or levels.shape != (*image.size[::-1], len(image.mode)):
        raise ValueError("its code stream is broken")
    order = (2, 1, 0, 3)[: len(image.mode)]  # OpenCV begins with blue
    return DeepImage(levels[..., order], image.mode, declared)


def _pixels(image: Any) -> np.ndarray:
    image.load()
    return np.asarray(image)
