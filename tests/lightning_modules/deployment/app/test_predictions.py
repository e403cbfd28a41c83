"""A picture is shown to models of different sizes and classes."""

import numpy as np
import pytest
from PIL import Image

from datamodules.errors import DataError
from lightning_modules.deployment.app.predictions import predict_picture
from lightning_modules.deployment.inference_model import InferenceModel
from lightning_modules.deployment.model_metadata import ModelMetadata


def model(name, classes, size, resize_mode="stretch"):
    """Predicts by how bright the first channels are, and keeps what it was shown."""
    seen = []

    def call(images):
        seen.append(images)
        ratios = images.mean((2, 3))[:, : len(classes)] / 255
        return (ratios / ratios.sum(1, keepdims=True)).astype(np.float32)

    metadata = ModelMetadata(
        class_names=classes,
        image_size=size,
        resize_mode=resize_mode,
        macs={"standard": 1200},
        params=7,
    )
    return InferenceModel(name, metadata, call), seen


@pytest.fixture
def picture(tmp_path):
    pixels = np.zeros((30, 60, 3), np.uint8)
    pixels[:] = (50, 150, 0)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return str(tmp_path / "photo.png")


def test_each_predicts_in_its_own_classes_and_size(picture):
    large, seen = model("large", ("red", "green", "blue"), (20, 24))
    small, padded = model("small", ("warm", "cold"), (8, 8), resize_mode="pad")
    first, second = predict_picture([large, small], picture)
    assert first.model is large and second.model is small
    assert [name for name, _ in first.rows] == ["green", "red", "blue"]
    assert [p for _, p in first.rows] == pytest.approx([0.75, 0.25, 0])
    assert [name for name, _ in second.rows] == ["cold", "warm"]
    assert all(images.shape == (1, 3, 20, 24) and images.dtype == np.uint8 for images in seen)
    assert padded[0].shape == (1, 3, 8, 8) and padded[0][0, 2].max() == 128  # grey above, below
    assert first.milliseconds > 0


def test_what_is_no_picture(tmp_path):
    path = tmp_path / "notes.jpg"
    path.write_text("no picture")
    with pytest.raises(DataError, match=r"notes\.jpg cannot be decoded"):
        predict_picture([model("one", ("a", "b"), (8, 8))[0]], str(path))


def test_the_page_asks_nobody_but_us(picture):
    gradio = pytest.importorskip("gradio", reason="needs the extra [app]")
    from lightning_modules.deployment.app.page import build_page

    page = build_page([model("<b>one</b>", ("a<i>", "b"), (8, 8))[0]])
    assert page.analytics_enabled is False
    (show,) = [fn.fn for fn in page.fns.values()]
    html = show(picture)
    assert "&lt;b&gt;one&lt;/b&gt;" in html and "a&lt;i&gt;" in html and "75.0 %" in html
    assert "1,200 MACs" in html and " ms" in html
    image = next(b for b in page.blocks.values() if isinstance(b, gradio.Image))
    assert image.preprocess(None) is None and "waits for a picture" in show(None)
