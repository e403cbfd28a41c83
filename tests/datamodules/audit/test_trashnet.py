"""On real photographs: what there is to find is found, and nothing else."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from datamodules.audit.duplicates import KINDS, find_duplicates
from datamodules.audit.reading import read_pictures
from datamodules.audit.similarity import (
    CORRELATION,
    DISTANCE,
    correlations,
    perceptual_hash,
    thumbnail,
    unit_vectors,
)
from datamodules.decoding.decoding import decode_image
from datamodules.sources.image_folder import ImageFolder
from tests.conftest import SHARED, needs_shared

ROOT = SHARED / "data" / "trashnet150"
pytestmark = needs_shared("data", "trashnet150")


def test_duplicates_of_trashnet():
    pictures, bad = read_pictures(ImageFolder(root=str(ROOT)).read().splits)
    groups = find_duplicates(pictures, distance=DISTANCE)
    assert len(pictures) == 2097 and bad == []

    def names(group):
        return {pictures[member].item.group for member in group.members}

    twice = [
        {"train/glass/glass115.jpg", "train/metal/metal91.jpg"},
        {"train/glass/glass389.jpg", "val/plastic/plastic332.jpg"},
    ]
    assert [names(g) for g in groups[KINDS[0]]] == [names(g) for g in groups[KINDS[1]]] == twice
    alike = groups[KINDS[2]]
    # Seen by a person: all 23 show the same thing from the same place.
    assert 20 <= len(alike) <= 26
    assert [names(g) for g in alike if g.across_classes] == twice
    assert {"train/paper/paper390.jpg", "val/paper/paper185.jpg"} in [names(g) for g in alike]
    assert not any(
        {"train/glass/glass325.jpg"} & names(g) for g in alike
    )  # a green and a brown neck


def _jpeg(image):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=30)
    return Image.open(io.BytesIO(file.getvalue())).convert("RGB")


@pytest.mark.parametrize(
    ("change", "share"),
    [
        (_jpeg, 0.98),
        (lambda image: image.resize((64, 64)), 0.98),
        (lambda image: image.resize((300, 300)), 0.98),
        (lambda image: ImageEnhance.Brightness(image).enhance(0.7), 0.98),
        (lambda image: ImageEnhance.Brightness(image).enhance(1.2), 0.9),
        (lambda image: ImageEnhance.Contrast(image).enhance(1.3), 0.98),
    ],
)
def test_changed_copies_are_found(change, share):
    items = ImageFolder(root=str(ROOT)).read().splits["val"][::3]
    images = [decode_image(item.path) for item in items]
    copies = [change(image) for image in images]
    hashes = np.array([perceptual_hash(image) for image in [*images, *copies]], np.uint64)
    distance = np.bitwise_count(hashes[: len(images)] ^ hashes[len(images) :])
    thumbnails = np.stack([thumbnail(image) for image in [*images, *copies]])
    own = np.arange(len(images))
    correlation = correlations(unit_vectors(thumbnails), own, own + len(images))
    found = (distance <= DISTANCE) & (correlation >= CORRELATION)
    assert found.mean() >= share
