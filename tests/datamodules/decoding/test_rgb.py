"""Every pixel mode, with levels known beforehand; 16-bit files are written by OpenCV."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from datamodules.decoding.decoding import decode_image
from datamodules.errors import DataError

LEVELS = np.array([[0, 1, 255, 256, 0x7FFF, 0x8012, 0xFF00, 0xFFFF]], np.uint16)
BYTES = [0, 0, 0, 1, 0x7F, 0x80, 0xFF, 0xFF]


def _pixels(path: Path) -> np.ndarray:
    return np.asarray(decode_image(str(path)))


def _written(path: Path, image) -> Path:
    if isinstance(image, Image.Image):
        image.save(path)
    else:
        assert cv2.imwrite(str(path), image)
    return path


@pytest.mark.parametrize("mode", ["L", "1", "P"])
def test_grey_and_palette(tmp_path, mode):
    grey = Image.fromarray(np.full((4, 4), 255, np.uint8)).convert(mode)
    assert np.array_equal(_pixels(_written(tmp_path / "a.png", grey)), np.full((4, 4, 3), 255))


def test_palette_colours(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([1, 0])
    found = _pixels(_written(tmp_path / "a.gif", image))
    assert found.tolist() == [[[200, 100, 50], [10, 20, 30]]]


def test_cmyk(tmp_path):
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    image.save(tmp_path / "a.jpg", quality=100)
    assert np.abs(_pixels(tmp_path / "a.jpg").astype(int) - (255, 0, 0)).max() <= 3
    found = _pixels(_written(tmp_path / "a.tif", image))
    assert np.array_equal(found, np.broadcast_to((255, 0, 0), (8, 8, 3)))


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_16_bit_grey_keeps_the_upper_byte(tmp_path, suffix):
    found = _pixels(_written(tmp_path / f"a.{suffix}", LEVELS))
    assert found[0].tolist() == [[level] * 3 for level in BYTES]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_colour_keeps_the_upper_byte(tmp_path, suffix):
    rgb = np.stack([LEVELS, LEVELS[:, ::-1], LEVELS], -1)
    found = _pixels(_written(tmp_path / f"a.{suffix}", rgb[..., ::-1]))
    assert found[0].tolist() == [list(t) for t in zip(BYTES, BYTES[::-1], BYTES, strict=True)]


def test_16_bit_alpha_lies_on_white(tmp_path):
    pixels = np.zeros((1, 2, 4), np.uint16)
    pixels[0, 1] = (0, 0x8000, 0xFFFF, 0xFFFF)  # blue, green, red, alpha
    found = _pixels(_written(tmp_path / "a.png", pixels))
    assert found.tolist() == [[[255, 255, 255], [255, 0x80, 0]]]


def test_transparent_16_bit_level_lies_on_white(tmp_path):
    image = Image.fromarray(LEVELS)
    image.save(tmp_path / "a.png", transparency=0x8012)
    assert Image.open(tmp_path / "a.png").info["transparency"] == 0x8012
    expected = [
        255 if level == 0x8012 else byte for level, byte in zip(LEVELS[0], BYTES, strict=True)
    ]
    assert _pixels(tmp_path / "a.png")[0, :, 0].tolist() == expected


def test_floating_point_levels_are_0_to_1(tmp_path):
    levels = np.array([[0, 0.25, 0.5, 1, 0.7 / 255]], np.float32)
    found = _pixels(_written(tmp_path / "a.tif", Image.fromarray(levels)))
    assert found[0, :, 0].tolist() == [0, 64, 128, 255, 1]


@pytest.mark.parametrize(
    ("levels", "reason"),
    [
        (np.array([[0, 70000]], np.int32), "its levels are 0..70000 instead of 0..65535"),
        (np.array([[-1, 7]], np.int32), "its levels are -1..7 instead of 0..65535"),
        (np.array([[0, 200]], np.float32), "its levels are 0..200 instead of 0..1"),
        (np.array([[0, -0.5]], np.float32), "its levels are -0.5..0 instead of 0..1"),
        (np.array([[0, np.nan]], np.float32), "its levels are nan..nan instead of 0..1"),
    ],
)
def test_levels_of_unknown_range_are_refused(tmp_path, levels, reason):
    path = _written(tmp_path / "a.tif", Image.fromarray(levels))
    with pytest.raises(DataError) as caught:
        decode_image(str(path))
    assert str(caught.value) == f"The image {path} cannot be decoded ({reason})."


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_alpha_lies_on_white(tmp_path, mode):
    image = Image.new("RGBA", (3, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 255))
    image.putpixel((2, 0), (0, 0, 0, 127))
    suffix = "tif" if mode == "PA" else "png"
    found = _pixels(_written(tmp_path / f"a.{suffix}", image.convert(mode)))
    assert found.tolist() == [[[255, 255, 255], [0, 0, 0], [128, 128, 128]]]


def test_transparent_palette_lies_on_white(tmp_path):
    image = Image.new("P", (2, 2), 0)
    image.putpalette([10, 20, 30])
    image.save(tmp_path / "a.png", transparency=0)
    assert np.array_equal(_pixels(tmp_path / "a.png"), np.full((2, 2, 3), 255))
