"""Headers of photographs: the orientation that decoding will find, without decoding."""

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.decoding import decode_image
from datamodules.sources.coco.photo_header import may_be_turned, read_header
from tests.datamodules.conftest import oriented

UPRIGHT = np.zeros((8, 20, 3), np.uint8)
XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_and_the_stored_size(tmp_path, suffix, orientation):
    path = oriented(tmp_path / f"a.{suffix}", UPRIGHT, orientation)
    header = read_header(path)
    assert header.orientation == orientation and header.upright_size == (20, 8)
    assert header.size == ((8, 20) if orientation > 4 else (20, 8))
    assert decode_image(path).size == header.upright_size


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_without_exif_nothing_is_asked_of_pillow(tmp_path, suffix):
    path = str(tmp_path / f"a.{suffix}")
    Image.fromarray(UPRIGHT).save(path, dpi=(72, 72), comment="no EXIF", icc_profile=b"x" * 9000)
    assert not may_be_turned(path)
    assert read_header(path) == (1, (20, 8))


def _with_late_exif(path: Path) -> None:
    """A PNG whose orientation follows its pixels."""
    file, exif = io.BytesIO(), Image.Exif()
    Image.fromarray(UPRIGHT).save(file, "PNG")
    exif[0x0112] = 8
    body = b"eXIf" + exif.tobytes()[6:]
    chunk = len(body[4:]).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    plain = file.getvalue()
    path.write_bytes(plain[:-12] + chunk + plain[-12:])


def test_orientation_behind_the_pixels(tmp_path):
    _with_late_exif(tmp_path / "a.png")
    assert read_header(str(tmp_path / "a.png")) == (8, (20, 8))
    assert decode_image(str(tmp_path / "a.png")).size == (8, 20)


def test_xmp_turns_nothing(tmp_path):
    """As in decoding, and in browsers."""
    Image.fromarray(UPRIGHT).save(tmp_path / "a.jpg", xmp=XMP)
    assert read_header(str(tmp_path / "a.jpg")) == (1, (20, 8))
    assert decode_image(str(tmp_path / "a.jpg")).size == (20, 8)


@pytest.mark.parametrize("orientation", [0, 9, 60000])
def test_orientations_that_do_not_exist(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(UPRIGHT).save(tmp_path / "a.jpg", exif=exif)
    assert read_header(str(tmp_path / "a.jpg")).orientation == 1


@pytest.mark.parametrize("content", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe0\x00", b"text", None])
def test_what_is_no_image_has_no_header(tmp_path, content):
    path = tmp_path / "a.jpg"
    if content is not None:
        path.write_bytes(content)
    assert read_header(str(path)) is None
    assert may_be_turned(str(path)) == (content is not None)
