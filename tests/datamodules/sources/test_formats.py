import importlib.util
import io

import pytest
from PIL import Image

from datamodules.sources import formats
from tests.datamodules.sources.test_image_folder_layouts import content


@pytest.mark.parametrize(
    ("name", "right"),
    [
        *(
            (f"x{suffix}", True)
            for suffix in [".jpg", ".JPEG", ".jfif", ".jpe", ".png", ".apng", ".tif", ".webp"]
        ),
        *(
            (f"x{suffix}", True)
            for suffix in [".avif", ".jp2", ".ppm", ".gif", ".bmp", ".tga", ".ico", ".psd"]
        ),
        *(
            (f"x{suffix}", False)
            for suffix in [".eps", ".ps", ".mpg", ".h5", ".pdf", ".txt", ".csv", ".py"]
        ),
        *(
            (f"x{suffix}", False)
            for suffix in [".json", ".xml", ".mp4", ".zip", ".part", ".crdownload"]
        ),
        *((name, None) for name in ("x", "x.jpg.1", "x.bin", "x.jpg_orig", "x.unheard-of")),
    ],
)
def test_names(name, right):
    assert formats.is_image_name(name) is right


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "bmp", "tiff", "webp", "ppm"])
def test_first_bytes_of_images(kind):
    assert formats.why_no_image(io.BytesIO(content(kind))) is None


@pytest.mark.parametrize(
    "head", [b"", b"x", b"Python is a language", b"P6", b"%PDF-1.7", b"%!PS-Adobe", b"\0" * 64,
             b"\x89PNG\r\n\x1a\n", b"BM", b"MZ\x90", b"\n\x02\x01\x01", bytes(range(64))]
)  # fmt: skip
def test_first_bytes_of_others(head):
    assert formats.why_no_image(io.BytesIO(head)) == formats.NO_FORMAT


def test_huge_images_are_left_to_the_decoder():
    file = io.BytesIO()
    Image.new("1", (20000, 20000)).save(file, "png")
    assert formats.why_no_image(io.BytesIO(file.getvalue())) is None


def test_heif_without_its_package_is_named(monkeypatch):
    monkeypatch.setattr(formats, "readable_formats", lambda: ("JPEG", "PNG"))
    assert "pip install 'model-diet[heic]'" in str(
        formats.why_no_image(io.BytesIO(content("heif")))
    )


@pytest.mark.skipif(importlib.util.find_spec("pillow_heif") is None, reason="needs [heic]")
def test_heif_with_its_package_is_read(tmp_path):
    import pillow_heif

    pillow_heif.register_heif_opener()
    file = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 30, 60)).save(file, "HEIF")
    assert formats.why_no_image(io.BytesIO(file.getvalue())) is None
    assert formats.is_image_name("IMG_0001.HEIC") and formats.is_image_name("x.heif")
