"""What passes for the image that was meant."""

import io

import pytest
from PIL import Image

from datamodules.downloads.failure import Failure
from datamodules.downloads.image_checks import check_image, looks_right
from tests.datamodules.downloads.conftest import image_bytes


@pytest.fixture
def written(tmp_path):
    def write(content):
        path = tmp_path / "a.jpg.part"
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_images_whatever_their_name(written, kind):
    path = written(image_bytes(kind=kind))
    check_image(path)
    check_image(path, (40, 30))
    assert looks_right(path, (40, 30)) and not looks_right(path, (40, 31))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_is_that_of_the_upright_image(written, kind, orientation):
    path = written(image_bytes((40, 30), kind=kind, orientation=orientation))
    check_image(path, (40, 30))
    with pytest.raises(Failure, match="it has 40 x 30 pixels where the annotations say 30 x 40"):
        check_image(path, (30, 40))
    assert looks_right(path, (40, 30))


def test_a_phone_that_adds_a_second_picture(written):
    """A JPEG file with more pictures behind the first, as many phones write it."""
    out, first = io.BytesIO(), Image.new("RGB", (40, 30))
    first.save(out, format="MPO", save_all=True, append_images=[Image.new("RGB", (10, 10))])
    check_image(written(out.getvalue()), (40, 30))


def test_another_size_is_seen_before_decoding(written):
    path = written(image_bytes((64, 48))[:700])  # its header only
    with pytest.raises(Failure, match="it has 64 x 48 pixels where the annotations say 640 x 480"):
        check_image(path, (640, 480))
    with pytest.raises(Failure, match="cannot be decoded"):
        check_image(path, (64, 48))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"  <!DOCTYPE html><title>Gone</title>", "it is a web page and not an image"),
        (b"<html>", "it is a web page and not an image"),
        (b"garbage" * 100, "it is no JPEG, PNG, WEBP, BMP, GIF or TIFF image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "it is no JPEG, PNG, WEBP, BMP, GIF or TIFF image"),
        (image_bytes(kind="PNG")[:-300], "it cannot be decoded"),
        (image_bytes(kind="JPEG")[:-300], "it cannot be decoded"),
    ],
)
def test_anything_else(written, content, said):
    with pytest.raises(Failure, match=said):
        check_image(written(content))


def test_looking_at_nothing(tmp_path, written):
    assert not looks_right(tmp_path / "absent", (1, 1))
    assert not looks_right(written(b"<html>"), (1, 1))
