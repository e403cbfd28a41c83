"""Whatever an image file holds: a picture of the wanted size, or one sentence."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from datamodules.decoding.decoding import decode_crops
from datamodules.errors import DataError
from tests.datamodules.conftest import at_most

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF")
NUMBERS = st.integers(0, 255)
BOXES = [None, (-5, -5, 20, 20), (0, 0, 10**9, 3)]
# Pillow's own, of EXIF data that it skips.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def _valid_files() -> dict[str, bytes]:
    """Each format in several modes, with EXIF, progressive, animated and compressed ones."""
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (30, 40, 4), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    modes = {"JPEG": "RGB L CMYK", "PNG": "RGBA P L LA 1", "WEBP": "RGBA RGB", "GIF": "P",
             "TIFF": "RGB RGBA CMYK L P"}  # fmt: skip
    files = {}
    for kind, names in modes.items():
        for mode in names.split():
            for number, extra in enumerate(_extras(kind, image.convert(mode))):
                file = io.BytesIO()
                image.convert(mode).save(file, kind, **extra, **_exif(kind, exif))
                files[f"{kind}_{mode}_{number}"] = file.getvalue()
    for number, dtype in enumerate((np.uint16, np.int32, np.float32)):
        file = io.BytesIO()
        levels = rng.random((30, 40)) if dtype is np.float32 else rng.integers(0, 65536, (30, 40))
        Image.fromarray(levels.astype(dtype)).save(file, "TIFF")
        files[f"TIFF_levels_{number}"] = file.getvalue()
    return files


def _exif(kind: str, exif: Image.Exif) -> dict:
    return {} if kind == "GIF" else {"exif": exif}


def _extras(kind: str, image: Image.Image) -> list[dict]:
    several = {"save_all": True, "append_images": [image.rotate(180)]}
    return {
        "JPEG": [{}, {"progressive": True, "quality": 30}],
        "PNG": [{}, several],
        "WEBP": [{}, {"lossless": True}, several],
        "GIF": [{}, several],
        "TIFF": [{}, {"compression": "tiff_lzw"}, {"compression": "tiff_adobe_deflate"}, several],
    }[kind]


FILES = _valid_files()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        # Else a changed header makes pictures of 178 million pixels, which take a second each.
        patch.setattr(Image, "MAX_IMAGE_PIXELS", 200_000)
        yield tmp_path_factory.mktemp("fuzz") / "x.jpg"


def _try(path, data: bytes, boxes=BOXES, **annotated) -> np.ndarray | None:
    """The pictures, or None where the file is refused."""
    path.write_bytes(data)
    try:
        with at_most(20):
            crops = decode_crops(str(path), boxes, size=(6, 8), resize_mode="pad", **annotated)
    except DataError as error:
        assert str(error).startswith(f"The image {path} ") and "\n" not in str(error)
        return None
    assert crops.shape == (len(boxes), 6, 8, 3) and crops.dtype == np.uint8
    return crops


@pytest.mark.parametrize("name", FILES)
def test_the_valid_files_are_decoded(path, name):
    turned = "levels" not in name and not name.startswith("GIF")
    size = (30, 40) if turned else (40, 30)
    assert _try(path, FILES[name], annotated=size) is not None
    assert _try(path, FILES[name], annotated=size[::-1]) is None


FUZZ = settings(deadline=None, max_examples=250)


@FUZZ
@given(
    st.sampled_from(sorted(FILES)),
    st.lists(st.tuples(st.floats(0, 1), NUMBERS), min_size=1, max_size=8),
)
def test_changed_bytes(path, name, changes):
    data = bytearray(FILES[name])
    for place, value in changes:
        data[int(place**2 * (len(data) - 1))] = value  # headers, at the beginning, more often
    _try(path, bytes(data))
    _try(path, bytes(data), [None], annotated=(40, 30))


@FUZZ
@given(
    st.sampled_from(sorted(FILES)),
    st.floats(0, 1),
    st.floats(0, 0.3),
    st.binary(max_size=40),
    st.integers(0, 3),
)
def test_parts_removed_repeated_or_replaced(path, name, start, share, junk, times):
    data = FILES[name]
    start, stop = int(start * len(data)), int((start + share) * len(data))
    _try(path, data[:start] + data[start:stop] * times + junk + data[stop:])


@FUZZ
@given(st.sampled_from(FORMATS), st.sampled_from(sorted(FILES)), st.binary(max_size=80))
def test_any_bytes(path, kind, name, junk):
    _try(path, junk)
    head = FILES[next(other for other in FILES if other.startswith(kind))][:12]
    _try(path, head + junk)
    _try(path, head + FILES[name])
