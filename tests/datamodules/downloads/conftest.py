import io

import numpy as np
import pytest
from PIL import Image

from datamodules.downloads.limits import Limits
from tests.file_server import serving


@pytest.fixture
def server(monkeypatch):
    """A web server on this machine, without a proxy in between."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as running:
        yield running


@pytest.fixture
def limits():
    """Impatient ones: a try fails within a second, and the next follows at once."""

    def made(**changes) -> Limits:
        quick = {"backoff": 0.01, "attempts": 3, "stall_timeout": 0.5, "connect_timeout": 2}
        return Limits(**{**quick, **changes})

    return made


def image_bytes(size=(40, 30), *, kind="JPEG", seed=0, orientation=None) -> bytes:
    """A noisy picture of `size`, width and height, as it is shown once it is upright."""
    turned = orientation in (5, 6, 7, 8)
    width, height = size[::-1] if turned else size
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    exif = Image.Exif()
    if orientation is not None:
        exif[274] = orientation
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format=kind, exif=exif)
    return out.getvalue()
