"""JPEGs cut anywhere, with and without an end marker that somebody appended."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from datamodules.decoding.decoding import read_crops
from datamodules.decoding.jpeg import find_scans, load_jpeg
from datamodules.decoding.notices import NO_END
from datamodules.errors import DataError
from tests.conftest import ROOT

EOI = b"\xff\xd9"
KINDS = {
    "baseline": {"quality": 75},
    "444": {"quality": 95, "subsampling": 0},
    "gray": {"quality": 75},
    "optimized": {"quality": 60, "optimize": True},
    "progressive": {"quality": 80, "progressive": True},
    "progressive_444": {"quality": 95, "progressive": True, "subsampling": 0},
    "restarts": {"quality": 80, "restart_marker_rows": 1},
    "restarts_in_rows": {"quality": 80, "restart_marker_blocks": 3},
    "progressive_restarts": {"quality": 80, "progressive": True, "restart_marker_rows": 1},
}
# The rest of a picture that may lack unseen: a block of one component, see `jpeg`.
UNSEEN_BYTES = 40


def _photograph() -> Image.Image:
    """Smooth, with edges and a little noise."""
    y, x = np.mgrid[:90, :110]
    smooth = np.stack([x * 2, y * 2, x + y], -1) + 20 * (np.hypot(x - 50, y - 40) < 25)[..., None]
    noise = np.random.default_rng(0).normal(0, 6, smooth.shape)
    return Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8))


def _encoded(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image = image.convert("L") if kind == "gray" else image.convert("RGB")
    image.save(file, "JPEG", **KINDS[kind])
    return file.getvalue()


WHOLE = {kind: _encoded(_photograph(), kind) for kind in KINDS}


def _ended(data: bytes) -> bool:
    """What `load_jpeg` says of a file."""
    file = io.BytesIO(data)
    with Image.open(file) as image:
        return load_jpeg(image, file)


def _pixels(data: bytes) -> np.ndarray:
    file = io.BytesIO(data)
    with Image.open(file) as image:
        load_jpeg(image, file)
        return np.asarray(image)


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_marker_may_lack(kind):
    data = WHOLE[kind]
    expected = np.asarray(Image.open(io.BytesIO(data)))
    for whole, ended in [(data, True), (data + bytes(99), True), (data[:-2], False),
                         (data[:-1], False), (data[:-2] + bytes(50), False),
                         (data[:-2] + bytes(50) + EOI, True)]:  # fmt: skip
        assert _ended(whole) is ended
        assert np.array_equal(_pixels(whole), expected)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(sorted(KINDS)), st.floats(0, 1), st.sampled_from([b"", EOI, bytes(64)]))
def test_a_cut_file_is_refused(kind, share, appended):
    data = WHOLE[kind]
    cut = data[: int(share * (len(data) - 2 - UNSEEN_BYTES))]
    with pytest.raises(Exception, match="."):
        _ended(cut + appended)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [50, 90, 99])
@pytest.mark.parametrize("appended", [b"", EOI])
def test_real_photographs_that_are_cut(kind, share, appended, tmp_path):
    root = ROOT.parent / "shared" / "data" / "trashnet150" / "train"
    if not root.is_dir():
        pytest.skip("needs ../shared/data")
    path = tmp_path / "a.jpg"
    for photograph in sorted(root.glob("*/*1.jpg"))[::60]:
        data = photograph.read_bytes()
        if kind != "baseline":
            data = _encoded(Image.open(photograph), kind)
        path.write_bytes(data[: len(data) * share // 100] + appended)
        with pytest.raises(DataError, match=r"cannot be decoded \("):
            read_crops(str(path), [None], size=(8, 8), resize_mode="stretch")


@pytest.mark.parametrize("size", [(8, 8), (90, 110)])
def test_the_notice_at_any_scale(tmp_path, size):
    data = WHOLE["baseline"]
    for name, content, notices in [("a", data, ()), ("b", data[:-2], (NO_END,))]:
        (tmp_path / name).write_bytes(content)
        found = read_crops(str(tmp_path / name), [None], size=size, resize_mode="stretch")
        assert found.notices == notices


def test_scans_of_the_kinds():
    assert len(find_scans(WHOLE["progressive"]).headers) > 5
    scans = find_scans(WHOLE["restarts"])
    assert scans.single and scans.ended and scans.interval and scans.is_complete(WHOLE["restarts"])


def test_missing_scans_are_noticed():
    """A progressive file that ends between two scans lacks the later bits."""
    data = WHOLE["progressive"]
    place = data.rindex(b"\xff\xda")
    place = max(data.rindex(b"\xff\xc4", 0, place), data.rindex(b"\xff\xd9", 0, place) if
                b"\xff\xd9" in data[:place] else 0)  # fmt: skip
    with pytest.raises(OSError, match="a part of its picture is not there"):
        _ended(data[:place] + EOI)
