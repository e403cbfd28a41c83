import io

import numpy as np
import pytest
from PIL import Image

from datamodules.sources.huggingface.huggingface import HuggingFace


def encoded(number, kind="PNG"):
    """A picture of 6 x 5 that only `number` has."""
    out = io.BytesIO()
    Image.fromarray(np.full((5, 6, 3), (number * 7) % 256, np.uint8)).save(out, kind)
    return out.getvalue()


def rows(start, count, labels=("zebra", "ant"), kind="PNG"):
    """Columns of images that are named after their numbers, and of their classes."""
    numbers = range(start, start + count)
    images = [{"bytes": encoded(n, kind), "path": f"{n}.{kind.lower()}"} for n in numbers]
    return {"image": images, "label": [labels[n % len(labels)] for n in numbers]}


@pytest.fixture(scope="session")
def made():
    """Makes a Dataset of `rows`, with the features of images and, unless told, of a ClassLabel."""
    import datasets

    def make(start=0, count=6, labels=("zebra", "ant"), *, classes=("zebra", "ant"), **settings):
        columns = rows(start, count, labels, **settings)
        features = {"image": datasets.Image(), "label": datasets.Value("string")}
        if classes is not None:
            features["label"] = datasets.ClassLabel(names=list(classes))
        return datasets.Dataset.from_dict(columns, features=datasets.Features(features))

    return make


@pytest.fixture
def source(tmp_path):
    """The source of a root below tmp_path."""

    def make(root, **settings):
        return HuggingFace(
            root=str(tmp_path / root), unpacked_dir=str(tmp_path / "unpacked"), **settings
        )

    return make
