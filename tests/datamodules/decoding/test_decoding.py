import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.decoding.crops import PADDING_COLOR
from datamodules.decoding.decoding import decode_crops, decode_image, resize
from datamodules.errors import DataError
from tests.datamodules.conftest import STORED, at_most, oriented

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


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_tiffs_of_any_mode(tmp_path, orientation):
    grey = np.random.default_rng(0).integers(0, 256, (4, 6), dtype=np.uint8)
    for mode in ("L", "RGBA", "CMYK", "I;16"):
        image = Image.fromarray(grey if mode != "I;16" else grey.astype(np.uint16) << 8)
        image = image if mode in ("L", "I;16") else image.convert(mode)
        expected = np.asarray(image.convert("RGB")) if mode != "I;16" else np.dstack([grey] * 3)
        stored = STORED[orientation](np.asarray(image).reshape(4, 6, -1)).squeeze()
        exif = Image.Exif()
        exif[0x0112] = orientation
        turned = Image.frombytes(mode, stored.shape[1::-1], np.ascontiguousarray(stored).tobytes())
        path = _saved(tmp_path / "a.tif", turned, exif=exif)
        assert np.array_equal(_pixels(path), expected), mode


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(tmp_path, orientation, suffix):
    upright = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    lossless = {"lossless": True} if suffix == "webp" else {}
    path = oriented(tmp_path / f"a.{suffix}", upright, orientation, **lossless)
    assert np.array_equal(_pixels(path), upright)
    (crop,) = decode_crops(
        path, [(1, 0, 4, 2)], size=(2, 3), resize_mode="stretch", annotated=(6, 4)
    )
    assert np.array_equal(crop, upright[:2, 1:4])


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    for suffix in ("gif", "png", "webp", "tif"):
        path = tmp_path / f"a.{suffix}"
        path = _saved(path, frames[0], save_all=True, append_images=frames[1:])
        assert Image.open(path).n_frames == 2
        found = _pixels(path).astype(int)
        assert np.abs(found - (255, 0, 0)).max() <= 3, suffix  # WebP is lossy


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
    prefixes = {f"first{n}.jpeg": whole["jpeg"][:n] for n in (1, 2, 3, 20, 200)}
    broken.update(prefixes)
    return {**broken, "damaged.png": bytes(damaged), "text.jpg": b"hello", "empty.jpg": b""}


@pytest.mark.parametrize("name", list(_broken_files()))
def test_broken_files_are_named(tmp_path, name):
    (tmp_path / name).write_bytes(_broken_files()[name])
    found = _refused(tmp_path / name)
    assert found.startswith("The image PATH cannot be decoded (")
    if name in ("text.jpg", "empty.jpg"):
        assert "(it is not an image of a known format)." in found


def test_absent_file_is_named(tmp_path):
    assert _refused(tmp_path / "gone.jpg") == (
        "The image PATH cannot be decoded (No such file or directory)."
    )


def _png_header(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"")
    chunks = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c))
              for c in (header, data, b"IEND")]  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_a_decompression_bomb_is_refused(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(_png_header(20_000, 20_000))
    assert _refused(path) == (
        "The image PATH cannot be decoded (Image size (400000000 pixels) exceeds limit of "
        "178956970 pixels, could be decompression bomb DOS attack.)."
    )


def test_a_large_photo_is_decoded_without_a_word(tmp_path):
    """In a process of its own, because pytest collects warnings its own way."""
    path = _saved(tmp_path / "a.png", Image.fromarray(HALVES))
    code = (
        "from datamodules.decoding.decoding import Image, decode_image\n"
        "Image.MAX_IMAGE_PIXELS = 20  # warns of 32 pixels, refuses 41\n"
        f"print(decode_image({path!r}).size)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("(8, 4)\n", "")


def _refused(path: Path, **settings) -> str:
    with at_most(20), pytest.raises(DataError) as caught:
        decode_crops(str(path), [None], size=(4, 4), resize_mode="stretch", **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(path), "PATH")


def test_a_folder_is_refused(tmp_path):
    (tmp_path / "x.jpg").mkdir()
    assert _refused(tmp_path / "x.jpg") == "The image PATH cannot be decoded (it is not a file)."


def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "x.jpg")
    assert _refused(tmp_path / "x.jpg") == "The image PATH cannot be decoded (it is not a file)."


def test_links_in_a_circle(tmp_path):
    (tmp_path / "a.jpg").symlink_to("b.jpg")
    (tmp_path / "b.jpg").symlink_to("a.jpg")
    assert _refused(tmp_path / "a.jpg") == (
        "The image PATH cannot be decoded (Too many levels of symbolic links)."
    )


def test_a_file_that_may_not_be_read(open_folder, as_nobody):
    path = open_folder / "a.png"
    Image.fromarray(HALVES).save(path)
    assert as_nobody(lambda: str(_pixels(str(path)).shape)) == "(4, 8, 3)"
    path.chmod(0)
    sentence = "The image PATH cannot be decoded (Permission denied)."
    assert as_nobody(lambda: _refused(path)) == sentence


def test_postscript_is_not_run(tmp_path, monkeypatch):
    path = tmp_path / "a.jpg"
    Image.fromarray(HALVES).save(path, "EPS")
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_: pytest.fail("was run"))
    assert _refused(path) == (
        "The image PATH cannot be decoded (PostScript is a program, not an image)."
    )


@pytest.fixture
def halves(tmp_path):
    return _saved(tmp_path / "halves.png", Image.fromarray(HALVES))


def test_boxes_are_cut_exactly(halves):
    boxes = [None, (0, 0, 4, 4), (4, 0, 8, 4)]
    whole, left, right = decode_crops(halves, boxes, size=(4, 4), resize_mode="stretch")
    assert whole.shape == (4, 4, 3) and whole.dtype == np.uint8
    assert (left == (200, 0, 0)).all() and (right == (0, 200, 0)).all()


def test_outside_is_grey(halves):
    (crop,) = decode_crops(halves, [(-2, -2, 4, 4)], size=(6, 6), resize_mode="stretch")
    assert (crop[:2] == PADDING_COLOR).all() and (crop[:, :2] == PADDING_COLOR).all()
    assert (crop[2:, 2:] == (200, 0, 0)).all()


def test_box_beyond_the_image_is_all_grey(halves):
    (crop,) = decode_crops(halves, [(50, 50, 60, 60)], size=(3, 3), resize_mode="stretch")
    assert (crop == PADDING_COLOR).all()


def test_pad_shows_the_whole_image_between_grey(halves):
    (crop,) = decode_crops(halves, [None], size=(8, 8), resize_mode="pad")
    assert np.array_equal(crop[2:6], HALVES)
    assert (crop[:2] == PADDING_COLOR).all() and (crop[6:] == PADDING_COLOR).all()


def test_crop_keeps_the_middle(halves):
    (crop,) = decode_crops(halves, [None], size=(4, 4), resize_mode="crop")
    assert np.array_equal(crop, HALVES[:, 2:6])


def test_shrinking_is_antialiased(tmp_path):
    checks = np.indices((64, 64)).sum(0) % 2 * np.uint8(255)
    path = _saved(tmp_path / "a.png", Image.fromarray(checks.astype(np.uint8)))
    (crop,) = decode_crops(path, [None], size=(8, 8), resize_mode="stretch")
    assert np.abs(crop.astype(int) - 127).max() <= 4


def test_resize_keeps_what_fits():
    assert resize(HALVES, (4, 8)) is HALVES
    assert resize(HALVES, (2, 3)).shape == (2, 3, 3)


def test_the_annotated_size_must_be_that_of_the_upright_image(tmp_path, halves):
    (crop,) = decode_crops(halves, [None], size=(4, 8), resize_mode="stretch", annotated=(8, 4))
    assert np.array_equal(crop, HALVES)
    assert _refused(Path(halves), annotated=(8, 5)) == (
        "The image PATH is 8 x 4 pixels and annotated as 8 x 5: its boxes would be wrong."
    )
    turned = oriented(tmp_path / "turned.png", HALVES, 6)
    decode_crops(turned, [None], size=(4, 8), resize_mode="stretch", annotated=(8, 4))
    assert _refused(Path(turned), annotated=(4, 8)) == (
        "The image PATH is 8 x 4 pixels and annotated as 4 x 8, as if its EXIF orientation were "
        "ignored: its boxes would be wrong."
    )
