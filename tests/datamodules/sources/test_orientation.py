"""The orientation counts whatever the other tags of EXIF hold."""

import io
import struct
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from datamodules.decoding.decoding import decode_image
from datamodules.sources.orientation import orientation_of, read_orientation
from tests.datamodules.conftest import STORED
from tests.datamodules.decoding.kin import cases

TAGS = (0x100, 0x10F, 0x11A, 0x128, 0x14A, 0x2BC, 0x8769, 0x8825, 0x927C, 0x9999)
TYPES = (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 77)
COUNTS = (0, 1, 5, 0xFFFFFFFF)
VALUES = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x26\0\0\0", b"\x08\0\0\0")
EXTRA = struct.pack("<ii", -1, 0) + bytes(20)  # a rational that nobody can write again

PICTURE = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
# Pillow's, of EXIF data that it skips.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def _exif(*entry) -> bytes:
    return cases.tiff(sorted([(0x112, 3, 1, 6), entry]), EXTRA)


def test_every_odd_tag():
    odd = list(product(TAGS, TYPES, COUNTS, VALUES))
    assert len(odd) > 1944 and all(orientation_of(_exif(*entry)) == 6 for entry in odd)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_files_with_odd_tags_are_turned(tmp_path, kind):
    stored = Image.fromarray(np.ascontiguousarray(STORED[6](PICTURE)))
    path = tmp_path / "a"
    for entry in list(product(TAGS[1:], TYPES, COUNTS, VALUES))[::23]:
        if kind == "TIFF":
            data, (width, height) = stored.tobytes(), stored.size
            start = 8 + 2 + 12 * 11 + 4
            entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, start), (259, 3, 1, 1),
                       (262, 3, 1, 2), (273, 4, 1, start + 6), (0x112, 3, 1, 6), (277, 3, 1, 3),
                       (278, 4, 1, height), (279, 4, 1, len(data)), entry]  # fmt: skip
            path.write_bytes(cases.tiff(sorted(entries), struct.pack("<3H", 8, 8, 8) + data))
        else:
            lossless = {"lossless": True} if kind == "WEBP" else {}
            stored.save(path, kind, exif=_exif(*entry), **lossless)
        assert np.array_equal(np.asarray(decode_image(str(path))), PICTURE), entry


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("kind", "BHIbhi")
def test_integers_of_any_size_and_order(orientation, endian, kind):
    magic = {"<": b"II*\0", ">": b"MM\0*"}[endian]
    number = {"B": 1, "H": 3, "I": 4, "b": 6, "h": 8, "i": 9}[kind]
    value = struct.pack(f"{endian}{kind}", orientation).ljust(4, b"\0")
    exif = cases.tiff([(0x112, number, 1, value)], endian=endian, magic=magic)
    for header in (b"", b"Exif\0\0", b"Exif\0\0" * 2):
        assert orientation_of(header + exif) == orientation


@given(st.binary(max_size=60), st.integers(0, 60))
def test_any_bytes(junk, place):
    exif = _exif(0x10F, 2, 9, b"\x26\0\0\0")
    for data in (junk, b"II*\0" + junk, exif[:place], exif[:place] + junk + exif[place:]):
        assert orientation_of(data) in range(1, 9)


def test_xmp_is_no_exif():
    file = io.BytesIO()
    xmp = b'<x tiff:Orientation="6"/>'
    Image.fromarray(PICTURE).save(file, "PNG", xmp=xmp)
    with Image.open(file) as image:
        image.info["xmp"] = xmp
        assert read_orientation(image) == 1
