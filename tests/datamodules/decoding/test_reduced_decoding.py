"""Large JPEGs decoded at a reduced scale, against the same pictures from the whole file."""

import numpy as np
import pytest
from PIL import Image, ImageFilter, JpegImagePlugin

from datamodules.decoding.crops import crop_and_resize, match_aspect_ratio
from datamodules.decoding.decoding import decode_crops, decode_image
from tests.datamodules.conftest import oriented


def _saved(path, image: Image.Image, **settings) -> str:
    image.save(path, **settings)
    return str(path)


def _photo(height: int, width: int) -> np.ndarray:
    """Noise as photographs have it (its power falls with the square of frequency), and edges."""
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft2(rng.standard_normal((height, width)))
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    plane = np.fft.irfft2(spectrum / np.maximum(frequency, 1 / width), (height, width))
    image = np.stack([plane, plane * 0.8, plane * 0.6], -1) / plane.std() * 40 + 120
    for _ in range(30):
        y, x, side = rng.integers(0, height), rng.integers(0, width), rng.integers(10, 200)
        image[y : y + side, x : x + side] = rng.integers(0, 256, 3)
    return np.clip(image + rng.standard_normal((height, width, 1)) * 4, 0, 255).astype(np.uint8)


def _fully_decoded(path: str, box, size, resize_mode) -> np.ndarray:
    """The same picture without any reduction, by way of `crops.crop_and_resize`."""
    image = decode_image(path)
    return crop_and_resize(
        image, match_aspect_ratio(box or (0, 0, *image.size), size, resize_mode), size
    )


@pytest.fixture
def scales(monkeypatch):
    """The scales at which JPEGs are decoded."""
    found = []
    draft = JpegImagePlugin.JpegImageFile.draft

    def noting(image, mode, size):
        found.append(image.width // size[0])
        return draft(image, mode, size)

    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "draft", noting)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("resize_mode", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_large_photos_are_decoded_at_a_reduced_scale(tmp_path, scales, orientation, resize_mode):
    path = oriented(tmp_path / "a.jpg", _photo(1200, 1600), orientation, quality=92)
    size = (40, 48)
    (crop,) = decode_crops(path, [None], size=size, resize_mode=resize_mode, annotated=(1600, 1200))
    assert scales == [8]
    expected = _fully_decoded(path, None, size, resize_mode).astype(int)
    difference = np.abs(crop - expected)
    assert difference.mean() < 0.5 and difference.max() <= 6
    sharpness = [np.abs(np.diff(image.astype(int), axis=1)).mean() for image in (crop, expected)]
    assert sharpness[0] == pytest.approx(sharpness[1], rel=0.02)


@pytest.mark.parametrize(
    ("height", "width", "size", "scale"),
    [
        (1200, 1600, (50, 50), 8),
        (1200, 1600, (51, 51), 4),  # 1200 / 8 is less than 3 x 51
        (1200, 1600, (101, 80), 2),
        (1200, 1600, (201, 80), None),
        (1200, 1604, (50, 50), 4),  # 1604 is no multiple of 8
        (1202, 1602, (50, 50), 2),
        (1201, 1600, (50, 50), None),
    ],
)
def test_the_scale_leaves_pixels_to_spare(tmp_path, scales, height, width, size, scale):
    path = _saved(tmp_path / "a.jpg", Image.fromarray(_photo(height, width)))
    (crop,) = decode_crops(path, [None], size=size, resize_mode="stretch")
    assert scales == ([scale] if scale else [])
    expected = _fully_decoded(path, None, size, "stretch")
    if scale is None:
        assert np.array_equal(crop, expected)
    assert np.abs(crop.astype(int) - expected).mean() < 0.5


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_photos_are_reduced_too(tmp_path, scales, mode):
    image = Image.fromarray(_photo(640, 800)).filter(ImageFilter.BLUR).convert(mode)
    path = _saved(tmp_path / "a.jpg", image, progressive=True)
    (crop,) = decode_crops(path, [None], size=(20, 20), resize_mode="stretch")
    assert scales == [8]
    expected = _fully_decoded(path, None, (20, 20), "stretch")
    assert np.abs(crop.astype(int) - expected).mean() < 0.5


def test_boxes_and_small_pictures_are_those_of_the_full_image(tmp_path, scales):
    path = _saved(tmp_path / "a.jpg", Image.fromarray(_photo(400, 480)))
    for boxes in ([(0, 0, 480, 400)], [(-9, 5, 400, 390), None], [(7, 9, 31, 40)]):
        for size in ((4, 4), (64, 64)):
            crops = decode_crops(path, boxes, size=size, resize_mode="pad")
            for crop, box in zip(crops, boxes, strict=True):
                assert np.array_equal(crop, _fully_decoded(path, box, size, "pad"))
    (crop,) = decode_crops(path, [None], size=(80, 80), resize_mode="stretch")
    assert np.array_equal(crop, _fully_decoded(path, None, (80, 80), "stretch"))
    assert scales == []
