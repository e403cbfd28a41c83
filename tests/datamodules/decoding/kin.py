"""Kin of the files of `tests/fixtures/cases/formats.py`: the same picture in more forms.

`FILES` has name -> what writes it. Most are made by hand or by OpenCV, which is another decoder's
author; `what_people_bring/formats.csv` says what is right for each.
"""

import importlib.util
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from tests.conftest import ROOT

_spec = importlib.util.spec_from_file_location(
    "formats", ROOT / "tests" / "fixtures" / "cases" / "formats.py"
)
cases = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(cases)

PICTURE = cases.A  # uint8 48 x 64 x 3
GRAY = np.asarray(cases.RGB.convert("L"))
BLACK_WHITE = (PICTURE.mean(-1) > 100).astype(np.uint8)
HEIGHT, WIDTH = GRAY.shape
DEEP = GRAY.astype(np.uint16)  # of 8 bits, to be shifted
CLEAR = (PICTURE == 255).all(-1)  # what is made transparent where there is an alpha channel

FILES: dict[str, Callable[[Path], object]] = {}


def _pillow(name: str, image: Image.Image, format: str | None = None, **settings) -> None:
    FILES[name] = lambda path: image.save(path, format, **settings)


def _opencv(name: str, pixels: np.ndarray, *flags: int) -> None:
    """RGB(A) or gray levels, written by OpenCV."""
    stored = pixels[..., (2, 1, 0, 3)[: pixels.shape[-1]]] if pixels.ndim == 3 else pixels
    FILES[name] = lambda path: cv2.imwrite(str(path), stored, list(flags))


def _bytes(name: str, content: bytes) -> None:
    FILES[name] = lambda path: path.write_bytes(content)


# --- JPEG
RGB = cases.RGB
_pillow("q75_420.jpg", RGB, quality=75, subsampling=2)
_pillow("q90_422.jpg", RGB, quality=90, subsampling=1)
_pillow("q85_444_progressive.jpg", RGB, quality=85, subsampling=0, progressive=True)
_pillow("restart_rows.jpg", RGB, quality=85, restart_marker_rows=1)
_pillow("optimized.jpg", RGB, quality=85, optimize=True)
_opencv("opencv.jpg", PICTURE, cv2.IMWRITE_JPEG_QUALITY, 92)
_jpeg = cases.jpg(RGB)
_progressive = cases.jpg(RGB, progressive=True)
_restarts = cases.jpg(RGB, restart_marker_blocks=1)
_bytes("marker_half_there.jpg", _jpeg[:-1])
_bytes("progressive_no_eoi.jpg", _progressive[:-2])
_bytes("restarts_no_eoi.jpg", _restarts[:-2])
_bytes("grey_no_eoi.jpg", cases.jpg(RGB.convert("L"))[:-2])
_bytes("no_eoi_zeros_after.jpg", _jpeg[:-2] + bytes(4000))
for _share in (50, 90, 99):
    for _kind, _data in (("", _jpeg), ("progressive_", _progressive), ("restarts_", _restarts)):
        _cut = _data[: len(_data) * _share // 100]
        _bytes(f"{_kind}cut_{_share}.jpg", _cut)
        _bytes(f"{_kind}cut_{_share}_with_eoi.jpg", _cut + b"\xff\xd9")
_bytes("cut_and_another_after.jpg", _jpeg[: len(_jpeg) * 9 // 10] + _jpeg)
_bytes("photoshop_cut.jpg", _jpeg[:2] + b"\xff\xed\0\x15Photoshop 3.0\x008BIM\x03" + _jpeg[2:])
_bytes("jfif_short.jpg", _jpeg[:2] + b"\xff\xe0\0\x07JFIF\0" + _jpeg[2:])
_turned = cases.jpg(cases.turned(6))
_exif = b"Exif\0\0" + cases.tiff([(0x112, 3, 1, 6)])
_bytes(
    "exif6_photoshop_cut.jpg",
    _turned[:2]
    + b"\xff\xed\0\x15Photoshop 3.0\x008BIM\x03"
    + b"\xff\xe1"
    + struct.pack(">H", 2 + len(_exif))
    + _exif
    + _turned[2:],
)
_big = b"Exif\0\0" + cases.tiff([(0x112, 3, 1, b"\0\x06\0\0")], endian=">", magic=b"MM\0*")
_bytes("exif6_big_endian.jpg", cases.with_app1(_turned, _big))
for _number, _entry in enumerate(
    [
        (0x11A, 5, 1, b"\xff" * 4),
        (0x8769, 4, 1, b"\xff\xff\xff\x7f"),
        (0x9286, 2, 0xFFFFFFF, b"\0\0\1\0"),
        (0xC4A5, 7, 5000, b"\x10\0\0\0"),
        (0x11A, 12, 3, b"\x08\0\0\0"),
        (0x128, 3, 0, b"\0\0\0\0"),
    ]
):
    _tags = cases.tiff(sorted([(0x112, 3, 1, 6), _entry]))
    _bytes(f"exif6_odd_tag_{_number}.jpg", cases.with_app1(_turned, b"Exif\0\0" + _tags))
_bytes(
    "exif6_second_directory_nowhere.jpg",
    cases.with_app1(_turned, b"Exif\0\0" + cases.tiff([(0x112, 3, 1, 6)])[:-4] + b"\xff" * 4),
)

# --- PNG


def _rows(levels: np.ndarray, dtype: str = ">u2") -> list[bytes]:
    return [row.astype(dtype).tobytes() for row in levels]


def _png(name: str, depth: int, color: int, rows: list[bytes], *chunks: bytes) -> None:
    _bytes(name, cases.png(WIDTH, HEIGHT, depth, color, rows, b"".join(chunks)))


def _packed(values: np.ndarray, bits: int) -> list[bytes]:
    """Rows of values of few bits, the first in the upper ones."""
    each = (values[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return [np.packbits(row.reshape(-1)).tobytes() for row in each.astype(np.uint8)]


PALETTE_NUMBERS = np.where(CLEAR, 0, np.where(np.arange(WIDTH) < WIDTH // 2, 1, 2))
PALETTE = cases.chunk(b"PLTE", bytes([255, 255, 255, 200, 30, 60, 20, 160, 220]))
WIDE = PICTURE.astype(np.uint16)
ALPHA = np.where(CLEAR, 0, 255).astype(np.uint16)
_png("4bit_grey.png", 4, 0, _packed(GRAY >> 4, 4))
for _bits in (2, 4, 8):
    _png(f"palette_{_bits}bits.png", _bits, 3, _packed(PALETTE_NUMBERS, _bits), PALETTE)
_png("12bit_in_16bit_rgb.png", 16, 2, _rows(WIDE << 4))
_png("10bit_in_16bit_rgb.png", 16, 2, _rows(WIDE << 2))
_png("8bit_in_16bit_rgb.png", 16, 2, _rows(WIDE))
_png("14bit_in_16bit_grey.png", 16, 0, _rows(DEEP << 6))
_png("sbit_12_dark_grey.png", 16, 0, _rows(DEEP << 1), cases.chunk(b"sBIT", b"\x0c"))
_png("sbit_12_grey.png", 16, 0, _rows(DEEP << 4), cases.chunk(b"sBIT", b"\x0c"))
_png("sbit_12_full_grey.png", 16, 0, _rows(DEEP * 257), cases.chunk(b"sBIT", b"\x0c"))
_png("sbit_12_rgb.png", 16, 2, _rows(WIDE << 4), cases.chunk(b"sBIT", b"\x0c" * 3))
for _shift in (8, 4):
    _four = np.dstack([np.where(CLEAR[..., None], 0, WIDE), ALPHA]) << _shift
    _png(f"rgba16_shift{_shift}.png", 16, 6, _rows(_four))
    _two = np.dstack([np.where(CLEAR, 0, DEEP), ALPHA]) << _shift
    _png(f"la16_shift{_shift}.png", 16, 4, _rows(_two))
_marked = np.where(CLEAR[..., None], np.array([1, 2, 3], np.uint16), WIDE << 4)
_png("rgb16_trns.png", 16, 2, _rows(_marked), cases.chunk(b"tRNS", struct.pack(">3H", 1, 2, 3)))
_grey_marked = np.where(CLEAR, 7, DEEP << 4)
_png("grey16_trns.png", 16, 0, _rows(_grey_marked), cases.chunk(b"tRNS", struct.pack(">H", 7)))
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
           (0, 1, 1, 2))  # fmt: skip


def _interlaced(levels: np.ndarray, depth: int, color: int, dtype: str) -> bytes:
    """Adam7: seven passes of every so many pixels (PNG specification, section 8.2)."""
    parts = [levels[y::down, x::across] for x, y, across, down in _PASSES]
    raw = b"".join(b"\0" + row.astype(dtype).tobytes() for part in parts for row in part)
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, color, 0, 0, 1)
    kinds = ((b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(cases.chunk(*kind) for kind in kinds)


_bytes("interlaced_rgb.png", _interlaced(PICTURE, 8, 2, "u1"))
_bytes("interlaced_12bit_in_16bit_rgb.png", _interlaced(WIDE << 4, 16, 2, ">u2"))
_bytes("interlaced_12bit_in_16bit_grey.png", _interlaced(DEEP << 4, 16, 0, ">u2"))
_plain = _rows(PICTURE, "u1")
_profile = b"icc\0\0" + zlib.compress(bytes(3_000_000))
_png("huge_icc.png", 8, 2, _plain, cases.chunk(b"iCCP", _profile))
_png("icc_of_unknown_method.png", 8, 2, _plain, cases.chunk(b"iCCP", b"icc\0\x05x"))
_png("short_physical_size.png", 8, 2, _plain, cases.chunk(b"pHYs", b"\0\0"))
_text = b"key\0\1\0\0\0" + zlib.compress(b"y" * 3_000_000)
_png("huge_itxt.png", 8, 2, _plain, cases.chunk(b"iTXt", _text))
_whole = cases.png(WIDTH, HEIGHT, 8, 2, _plain)
_bytes("bad_text_after_pixels.png", _whole[:-12] + b"\0\0\0\4tEXta\0bc\0\0\0\0" + _whole[-12:])
_bytes("no_iend.png", _whole[:-12])
_bytes("cut_75.png", _whole[: len(_whole) * 3 // 4])
_bytes("cut_75_with_iend.png", _whole[: len(_whole) * 3 // 4] + _whole[-12:])
_opencv("opencv_16bit_rgb.png", WIDE * 257)
_opencv("opencv_rgba.png", np.dstack([PICTURE, np.full_like(GRAY, 255)]))

# --- TIFF
_LITTLE, _BIG = ("<", b"II*\0"), (">", b"MM\0*")


def _tiff(
    name: str,
    data: bytes | list[bytes],
    *,
    order: tuple[str, bytes] = _LITTLE,
    bits: tuple[int, ...] = (8, 8, 8),
    photometric: int = 2,
    **tags: int,
) -> None:
    """An uncompressed TIFF, made by hand; several data are planes. Tags are named `t<number>`."""
    endian, magic = order
    planes = data if isinstance(data, list) else [data]
    extra = {int(tag[1:]): value for tag, value in tags.items()}
    long = {256: WIDTH, 257: HEIGHT, 278: HEIGHT}
    short = {258: bits, 259: 1, 262: photometric, 277: len(bits), 284: 1 + (len(planes) > 1)}
    values: dict[int, tuple[int, tuple[int, ...]]] = {t: (4, (v,)) for t, v in long.items()}
    values |= {t: (3, v if isinstance(v, tuple) else (v,)) for t, v in {**short, **extra}.items()}
    values |= {279: (4, tuple(map(len, planes))), 273: (4, (0,) * len(planes))}
    size = 8 + 2 + 12 * len(values) + 4
    places = dict.fromkeys(values, size)  # of values that do not fit into their entry
    for tag, (kind, value) in sorted(values.items()):
        length = len(value) * (2 if kind == 3 else 4)
        places[tag] = size
        size += length if length > 4 else 0
    starts = [size + sum(map(len, planes[:n])) for n in range(len(planes))]
    values[273] = (4, tuple(starts))
    body, entries = b"", b""
    for tag, (kind, value) in sorted(values.items()):
        packed = struct.pack(f"{endian}{len(value)}{'H' if kind == 3 else 'I'}", *value)
        if len(packed) > 4:
            body += packed
            packed = struct.pack(f"{endian}I", places[tag])
        entries += struct.pack(f"{endian}HHI", tag, kind, len(value)) + packed.ljust(4, b"\0")
    head = magic + struct.pack(f"{endian}I", 8) + struct.pack(f"{endian}H", len(values))
    _bytes(name, head + entries + bytes(4) + body + b"".join(planes))


for _suffix, _order in (("", _LITTLE), ("_big_endian", _BIG)):
    _u2, _i2, _u4, _f4 = (f"{_order[0]}{kind}" for kind in ("u2", "i2", "u4", "f4"))
    _one = {"order": _order, "bits": (16,)}
    _three = {"order": _order, "bits": (16, 16, 16)}
    _tiff(f"12bit_grey{_suffix}.tif", (DEEP << 4).astype(_u2).tobytes(), photometric=1, **_one)
    _tiff(
        f"12bit_min_is_white{_suffix}.tif",
        (4095 - (DEEP << 4)).astype(_u2).tobytes(),
        photometric=0,
        **_one,
    )
    _tiff(
        f"16bit_min_is_white{_suffix}.tif",
        (65535 - DEEP * 257).astype(_u2).tobytes(),
        photometric=0,
        **_one,
    )
    _tiff(
        f"int16_full{_suffix}.tif",
        (DEEP << 7).astype(_i2).tobytes(),
        photometric=1,
        t339=2,
        **_one,
    )
    _tiff(f"int16_8bit{_suffix}.tif", DEEP.astype(_i2).tobytes(), photometric=1, t339=2, **_one)
    _tiff(
        f"max_sample_dark{_suffix}.tif",
        (DEEP << 1).astype(_u2).tobytes(),
        photometric=1,
        t281=4095,
        **_one,
    )
    _tiff(
        f"uint32{_suffix}.tif",
        (DEEP << 4).astype(_u4).tobytes(),
        photometric=1,
        order=_order,
        bits=(32,),
    )
    _tiff(
        f"float_min_is_white{_suffix}.tif",
        (1 - GRAY / 255).astype(_f4).tobytes(),
        photometric=0,
        order=_order,
        bits=(32,),
        t339=3,
    )
    _tiff(f"12bit_rgb{_suffix}.tif", (WIDE << 4).astype(_u2).tobytes(), **_three)
    _tiff(
        f"16bit_rgb_in_order{_suffix or '_little_endian'}.tif",
        (WIDE * 257).astype(_u2).tobytes(),
        **_three,
    )
    _planes = [(WIDE[..., n] << 4).astype(_u2).tobytes() for n in range(3)]
    _tiff(f"12bit_planes{_suffix}.tif", _planes, **_three)
_tiff("8bit_planes.tif", [PICTURE[..., n].tobytes() for n in range(3)])
_tiff("rgb_and_mask.tif", np.dstack([PICTURE, GRAY]).tobytes(), bits=(8,) * 4, t338=0)
_tiff("1bit_min_is_white.tif", b"".join(_packed(1 - BLACK_WHITE, 1)), bits=(1,), photometric=0)
_tiff("4bit_grey.tif", b"".join(_packed(GRAY >> 4, 4)), bits=(4,), photometric=1)
_tiff("12bit_packed.tif", b"".join(_packed(DEEP << 4, 12)), bits=(12,), photometric=1)
_tiff("orientation_as_long_elsewhere.tif", PICTURE.tobytes(), t270=7, t305=9)
for _name, _number in (("lzw", 5), ("deflate", 8), ("packbits", 32773)):
    _opencv(f"opencv_{_name}.tif", PICTURE, cv2.IMWRITE_TIFF_COMPRESSION, _number)
    _opencv(f"opencv_{_name}_12bit.tif", WIDE << 4, cv2.IMWRITE_TIFF_COMPRESSION, _number)
_opencv("opencv_12bit_grey_lzw.tif", DEEP << 4, cv2.IMWRITE_TIFF_COMPRESSION, 5)
_pillow("palette.tif", RGB.quantize(8))
_pillow("grey_alpha.tif", Image.fromarray(np.dstack([GRAY, np.full_like(GRAY, 255)])))
_pillow("jpeg_444.tif", RGB, compression="jpeg", quality=90)
_pillow("g3.tif", Image.fromarray(BLACK_WHITE * 255).convert("1"), compression="group3")
_pillow("zstd.tif", RGB, compression="zstd")
_pillow("big.tif", RGB, big_tiff=True)


def _tiles() -> bytes:
    """Six tiles of 32 x 16, left to right, then down."""
    parts = [PICTURE[y : y + 16, x : x + 32] for y in range(0, 48, 16) for x in range(0, 64, 32)]
    size = 32 * 16 * 3
    start = 8 + 2 + 12 * 11 + 4
    first = start + 6 + 24 + 24
    entries = [(256, 4, 1, WIDTH), (257, 4, 1, HEIGHT), (258, 3, 3, start), (259, 3, 1, 1),
               (262, 3, 1, 2), (277, 3, 1, 3), (284, 3, 1, 1), (322, 4, 1, 32), (323, 4, 1, 16),
               (324, 4, 6, start + 6), (325, 4, 6, start + 30)]  # fmt: skip
    starts = struct.pack("<6I", *(first + n * size for n in range(6)))
    extra = struct.pack("<3H", 8, 8, 8) + starts + struct.pack("<6I", *[size] * 6)
    return cases.tiff(entries, extra + b"".join(part.tobytes() for part in parts))


_bytes("tiled.tif", _tiles())

# --- the others
_pillow("lossy.webp", RGB, quality=95)
_opencv("opencv.webp", PICTURE, cv2.IMWRITE_WEBP_QUALITY, 101)
_pillow("alpha.webp", Image.fromarray(np.dstack([PICTURE, 255 - 255 * CLEAR]).astype(np.uint8)),
        lossless=True)  # fmt: skip
_pillow("plain.avif", RGB, quality=95, subsampling="4:4:4")
_pillow("lossless.jp2", RGB)
_pillow("stream.j2k", RGB)
_pillow("16bit_grey.jp2", Image.fromarray(DEEP * 257))
_opencv("16bit_white.jp2", WIDE * 257, cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000)
_opencv("12bit_in_16bit.jp2", WIDE << 4, cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000)


def _jpeg_2000_of_12_bits(path: Path) -> None:
    """Written as 16 bits, half of whose range the code stream takes off, and declared as 12."""
    levels = (DEEP << 4) + np.uint16((1 << 15) - (1 << 11))
    Image.fromarray(levels).save(path, no_jp2=True)
    data = bytearray(path.read_bytes())
    data[data.index(b"\xff\x51") + 40] = 12 - 1
    path.write_bytes(data)


FILES["12bit_grey.j2k"] = _jpeg_2000_of_12_bits
_pillow("plain.gif", RGB.quantize(8))
_pillow("1bit.bmp", Image.fromarray(BLACK_WHITE * 255).convert("1"))
_pillow("8bit.bmp", RGB.convert("L"))
_pillow("palette.bmp", RGB.quantize(8))
_pillow("24bit.bmp", RGB)
_opencv("opencv.bmp", PICTURE)


def _bmp(bits: int, rows: list[bytes], palette: bytes = b"") -> bytes:
    body, start = b"".join(rows[::-1]), 54 + len(palette)
    head = struct.pack("<2sIHHI", b"BM", start + len(body), 0, 0, start)
    colors = len(palette) // 4
    sizes = (40, WIDTH, HEIGHT, 1, bits, 0, len(body), 2835, 2835, colors, 0)
    return head + struct.pack("<IiiHHIIiiII", *sizes) + palette + body


_wide = PICTURE.astype(np.uint16) >> 3
_bytes("16bit_555.bmp", _bmp(16, _rows(_wide @ np.array([1024, 32, 1], np.uint16), "<u2")))
_colors = bytes([255, 255, 255, 0, 60, 30, 200, 0, 220, 160, 20, 0]) + bytes(52)
_bytes("4bit.bmp", _bmp(4, _packed(PALETTE_NUMBERS, 4), _colors))
for _kind, _name, _values in (("P5", "pgm", GRAY), ("P6", "ppm", PICTURE)):
    _head = f"{_kind}\n# made by hand\n{WIDTH} {HEIGHT}\n"
    _bytes(f"8bit.{_name}", f"{_head}255\n".encode() + _values.tobytes())
    for _most, _shift in ((1023, 2), (4095, 4), (65535, 8)):
        _data = (_values.astype(np.uint16) << _shift).astype(">u2").tobytes()
        _bytes(f"maxval_{_most}.{_name}", f"{_head}{_most}\n".encode() + _data)
    _data = (_values.astype(np.uint16) << 4).astype(">u2").tobytes()
    _bytes(f"12bit_in_65535.{_name}", f"{_head}65535\n".encode() + _data)
    _bytes(f"maxval_4095_cut.{_name}", f"{_head}4095\n".encode() + _data[: len(_data) // 2])
    _plain_kind = {"P5": "P2", "P6": "P3"}[_kind]
    _words = " ".join(map(str, (_values.astype(int) << 4).reshape(-1)))
    _bytes(f"text_4095.{_name}", f"{_plain_kind}\n{WIDTH} {HEIGHT}\n4095\n{_words}\n".encode())
_pillow("plain.pbm", Image.fromarray(BLACK_WHITE * 255).convert("1"))
_pillow("plain.tga", RGB)
_pillow("rle.tga", RGB, compression="tga_rle")
_pillow("plain.pcx", RGB)
_pillow("grey.pcx", RGB.convert("L"))
_pillow("plain.dds", RGB)
_pillow("plain.qoi", RGB)
_pillow("plain.sgi", RGB)
_pillow("plain.im", RGB)
_pillow("plain.msp", Image.fromarray(BLACK_WHITE * 255).convert("1"))
_pillow("plain.xbm", Image.fromarray(BLACK_WHITE * 255).convert("1"))
_pillow("square.ico", RGB.crop((0, 0, 48, 48)), "ICO", sizes=[(48, 48)])
_pillow("postscript.eps", RGB)


def _heic(path: Path, **settings) -> None:
    from datamodules.sources.formats import readable_formats

    assert "HEIF" in readable_formats()
    (cases.turned(6) if "exif" in settings else RGB).save(path, "HEIF", quality=95, **settings)


def _exif_of(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x112] = orientation
    return exif


FILES["plain.heic"] = _heic
FILES["exif6.heic"] = lambda path: _heic(path, exif=_exif_of(6))
_raw = b"\nexif\n      26\n" + cases.tiff([(0x112, 3, 1, 6)]).hex().encode() + b"\n"


def _raw_profile(path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Raw profile type exif", _raw.decode(), zip=True)
    cases.turned(6).save(path, pnginfo=info)


FILES["exif6_raw_profile.png"] = _raw_profile


def written(name: str, folder: Path) -> Path:
    """The file of a name, written into a folder."""
    path = folder / name
    FILES[name](path)
    return path
