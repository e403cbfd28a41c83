"""An audit sees images of more than 8 bits as training does."""

import numpy as np
import pytest
from PIL import Image

from datamodules.audit.reading import find_levels, read_pictures
from datamodules.sources.source import Item


@pytest.fixture
def items(tmp_path):
    """Of 12 bits, of 8, and one that is no image."""
    Image.fromarray(np.full((20, 20), 3200, np.uint16)).save(tmp_path / "a.png")
    Image.new("RGB", (20, 20), (200, 200, 200)).save(tmp_path / "b.png")
    (tmp_path / "c.png").write_bytes(b"nothing")
    return [Item(str(tmp_path / name), 0, None, name) for name in ("a.png", "b.png", "c.png")]


def test_pictures_are_read_with_the_rule(items):
    splits = {"train": items}
    assert find_levels(splits) == 12
    (deep, plain), (bad,) = read_pictures(splits, levels=12)
    assert deep.pixel_digest == plain.pixel_digest and bad.path == items[2].path


def test_images_of_8_bits_have_no_rule(items):
    assert find_levels({"train": items[1:]}) is None
    assert find_levels({"unsplit": items}) == 12
