import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.decoding import OUTSIDE, as_size, decode_crops, decode_image, resize
from datamodules.errors import DataError

# Left half red, right half green, 4 high and 8 wide.
HALVES = np.zeros((4, 8, 3), np.uint8)
HALVES[:, :4, 0] = HALVES[:, 4:, 1] = 200


def _saved(path: Path, image: Image.Image, **settings) -> str:
    image.save(path, **settings)
    return str(path)


def _pixels(path: str) -> np.ndarray:
    return np.asarray(decode_image(path))


def test_rgb_is_read_exactly(tmp_path):
    path = _saved(tmp_path / "a.png", Image.fromarray(HALVES))
    assert np.array_equal(_pixels(path), HALVES)


def test_exif_orientation_turns_the_image(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    path = _saved(tmp_path / "a.png", Image.fromarray(HALVES), exif=exif)
    assert np.array_equal(_pixels(path), np.rot90(HALVES, -1))


@pytest.mark.parametrize("mode", ["L", "1", "P"])
def test_grey_and_palette(tmp_path, mode):
    grey = Image.fromarray(np.full((4, 4), 255, np.uint8)).convert(mode)
    assert np.array_equal(_pixels(_saved(tmp_path / "a.png", grey)), np.full((4, 4, 3), 255))


def test_cmyk(tmp_path):
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    red = _pixels(_saved(tmp_path / "a.jpg", image, quality=100))
    assert np.abs(red.astype(int) - (255, 0, 0)).max() <= 3


def test_16_bit_keeps_the_upper_byte(tmp_path):
    levels = np.array([[0, 255, 256, 0x8012, 0xFFFF]], np.uint16)
    pixels = _pixels(_saved(tmp_path / "a.png", Image.fromarray(levels)))
    assert pixels[0, :, 0].tolist() == [0, 0, 1, 0x80, 0xFF]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_lies_on_white(tmp_path, mode):
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 255))
    pixels = _pixels(_saved(tmp_path / "a.png", image.convert(mode)))
    assert pixels.tolist() == [[[255, 255, 255], [0, 0, 0]]]


def test_transparent_palette_lies_on_white(tmp_path):
    image = Image.new("P", (2, 2), 0)
    image.putpalette([10, 20, 30])
    path = _saved(tmp_path / "a.png", image, transparency=0)
    assert np.array_equal(_pixels(path), np.full((2, 2, 3), 255))


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    path = _saved(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    assert np.array_equal(_pixels(path), np.broadcast_to((255, 0, 0), (4, 4, 3)))


def _broken_files() -> dict[str, bytes]:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole = {}
    for kind in ("jpeg", "png", "webp"):
        file = io.BytesIO()
        Image.fromarray(noise).save(file, kind)
        whole[kind] = file.getvalue()
    broken = {f"truncated.{k}": data[: len(data) // 2] for k, data in whole.items()}
    damaged = bytearray(whole["png"])
    damaged[len(damaged) // 2] ^= 255
    return {**broken, "damaged.png": bytes(damaged), "text.jpg": b"hello", "empty.jpg": b""}


@pytest.mark.parametrize("name", list(_broken_files()))
def test_broken_files_are_named(tmp_path, name):
    (tmp_path / name).write_bytes(_broken_files()[name])
    with pytest.raises(DataError, match=f"{name} cannot be decoded"):
        decode_image(str(tmp_path / name))


def test_absent_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone.jpg cannot be decoded"):
        decode_image(str(tmp_path / "gone.jpg"))


def test_huge_image_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    path = _saved(tmp_path / "a.png", Image.fromarray(HALVES))
    with pytest.raises(DataError, match="cannot be decoded"):
        decode_image(path)


@pytest.fixture
def halves(tmp_path):
    return _saved(tmp_path / "halves.png", Image.fromarray(HALVES))


def test_boxes_are_cut_exactly(halves):
    boxes = [None, (0, 0, 4, 4), (4, 0, 8, 4)]
    whole, left, right = decode_crops(halves, boxes, size=(4, 4), fit="stretch")
    assert whole.shape == (4, 4, 3) and whole.dtype == np.uint8
    assert (left == (200, 0, 0)).all() and (right == (0, 200, 0)).all()


def test_outside_is_grey(halves):
    (crop,) = decode_crops(halves, [(-2, -2, 4, 4)], size=(6, 6), fit="stretch")
    assert (crop[:2] == OUTSIDE).all() and (crop[:, :2] == OUTSIDE).all()
    assert (crop[2:, 2:] == (200, 0, 0)).all()


def test_box_beyond_the_image_is_all_grey(halves):
    (crop,) = decode_crops(halves, [(50, 50, 60, 60)], size=(3, 3), fit="stretch")
    assert (crop == OUTSIDE).all()


def test_pad_shows_the_whole_image_between_grey(halves):
    (crop,) = decode_crops(halves, [None], size=(8, 8), fit="pad")
    assert np.array_equal(crop[2:6], HALVES)
    assert (crop[:2] == OUTSIDE).all() and (crop[6:] == OUTSIDE).all()


def test_crop_keeps_the_middle(halves):
    (crop,) = decode_crops(halves, [None], size=(4, 4), fit="crop")
    assert np.array_equal(crop, HALVES[:, 2:6])


def test_shrinking_is_antialiased(tmp_path):
    checks = np.indices((64, 64)).sum(0) % 2 * np.uint8(255)
    path = _saved(tmp_path / "a.png", Image.fromarray(checks.astype(np.uint8)))
    (crop,) = decode_crops(path, [None], size=(8, 8), fit="stretch")
    assert np.abs(crop.astype(int) - 127).max() <= 4


def test_resize_keeps_what_fits():
    assert resize(HALVES, (4, 8)) is HALVES
    assert resize(HALVES, (2, 3)).shape == (2, 3, 3)


def test_sizes():
    assert as_size(64) == (64, 64) and as_size([48, 64]) == (48, 64)
    for wrong in (0, -3, [1, 2, 3], "64", [64.0, 64], [0, 5], None):
        with pytest.raises(DataError, match="is not a size"):
            as_size(wrong)
