import io
from itertools import combinations

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from datamodules.audit import look_alikes
from datamodules.audit.look_alikes import find_look_alikes
from datamodules.audit.similarity import (
    CORRELATION,
    correlations,
    detail,
    perceptual_hash,
    perceptual_hashes,
    thumbnail,
    unit_vectors,
)
from datamodules.sources.source import Item
from tests.datamodules.audit.conftest import scene


@pytest.fixture
def look(tmp_path):
    """The groups of pictures, by their names."""

    def found(pictures, boxes=None) -> list[list[str]]:
        items = []
        for name, picture in pictures.items():
            path = tmp_path / "photos" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path)
            items += [Item(str(path), 0, box, name) for box in (boxes or {}).get(name, [None])]
        group_of = find_look_alikes(items, cache_dir=tmp_path / "cache")
        groups: dict[str, list[str]] = {}
        for image, group in group_of.items():
            groups.setdefault(group, []).append(image)
        return [sorted(images) for images in groups.values()]

    return found


def compressed(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=50)
    return Image.open(file)


def test_copies_are_found_and_different_pictures_are_not(look):
    pictures = {f"{n:02d}.png": scene(n) for n in range(40)}
    copies = {
        "a.png": ImageEnhance.Brightness(scene(3)).enhance(1.1), "b.png": compressed(scene(3)),
        "c.png": scene(7).resize((150, 150)), "d.png": scene(9),
    }  # fmt: skip
    assert look({**pictures, **copies}) == [
        ["03.png", "a.png", "b.png"], ["07.png", "c.png"], ["09.png", "d.png"],
    ]  # fmt: skip


def test_each_two_of_a_group_look_alike(look):
    first, last = scene(0), scene(1).resize(scene(0).size)
    chain = {f"{n:02d}.png": Image.blend(first, last, n / 30) for n in range(31)}
    groups = look(chain)
    vectors = unit_vectors(np.stack([thumbnail(image) for image in chain.values()]))
    names = list(chain)
    for group in groups:
        pairs = np.array(list(combinations([names.index(name) for name in group], 2)))
        assert (correlations(vectors, pairs[:, 0], pairs[:, 1]) > CORRELATION - 0.02).all()
    neighbours = correlations(vectors, np.arange(30), np.arange(1, 31))
    assert (neighbours > CORRELATION).all(), "all are connected"
    assert len(groups) > 1 and {"00.png", "30.png"} not in map(set, groups)


def test_the_closest_are_grouped_where_not_all_can_be():
    alike = {(0, 1): 0.96, (1, 2): 0.99}
    a, b = np.array(list(alike)).T
    labels = look_alikes._complete_groups(4, a, b, np.array(list(alike.values())))
    assert labels[1] == labels[2] and len(set(labels.tolist())) == 3


def test_thousands_of_one_picture_are_one_group(look, monkeypatch):
    monkeypatch.setattr(look_alikes, "MOST", 3)
    many = {f"{n:02d}.png": scene(0) for n in range(12)}
    assert look({**many, "x.png": scene(5)}) == [sorted(many)]


def test_plain_pictures_are_alone(look):
    assert look({f"{n}.png": Image.new("RGB", (64, 64), (9, 200, 9)) for n in range(5)}) == []


def test_small_pictures_need_the_same_details(look):
    rng = np.random.default_rng(0)
    shirt = np.zeros((28, 28))
    shirt[4:24, 8:20] = 180
    shirts = {
        f"{n:02d}.png": Image.fromarray((shirt + x).clip(0, 255).astype(np.uint8))
        for n, x in enumerate(rng.normal(0, 25, (30, 28, 28)))
    }
    assert look(shirts) == []
    assert look({**shirts, "copy.png": shirts["04.png"]}) == [["04.png", "copy.png"]]


def test_images_with_boxes_are_alike_where_all_their_boxes_are(look):
    def page(*numbers):
        image = Image.new("RGB", (200, 100))
        for place, number in enumerate(numbers):
            image.paste(scene(number).resize((100, 100)), (100 * place, 0))
        return image

    both = [(0, 0, 100, 100), (100, 0, 200, 100)]
    pictures = {"a.png": page(1, 2), "b.png": page(1, 2), "c.png": page(1, 3), "d.png": page(4, 5)}
    assert look(pictures, dict.fromkeys(pictures, both)) == [["a.png", "b.png"]]
    assert look({"a.png": page(1, 2), "c.png": page(1, 3)}, {"a.png": both, "c.png": both[:1]}) == [
        ["a.png", "c.png"]
    ]


def test_what_was_found_is_kept_until_a_file_changes(look, tmp_path, monkeypatch):
    pictures = {f"{n}.png": scene(n % 3) for n in range(6)}
    first = look(pictures)
    assert len(first) == 3
    items = [Item(str(tmp_path / "photos" / name), 0, None, name) for name in pictures]
    monkeypatch.setattr(look_alikes, "_looks", lambda items: pytest.fail("read again"))
    assert len(set(find_look_alikes(items[::-1], cache_dir=tmp_path / "cache").values())) == 3


def test_files_that_cannot_be_read_are_alone(tmp_path):
    items = []
    for n in range(4):
        path = tmp_path / f"{n}.jpg"
        path.write_bytes(b"no image")
        items.append(Item(str(path), 0, None, path.name))
    assert find_look_alikes(items, cache_dir=tmp_path / "cache") == {}


def test_hashes_of_many_are_those_of_each():
    images = [scene(n).resize((64, 64)) for n in range(30)]
    hashes = perceptual_hashes(np.stack([detail(image) for image in images]))
    assert hashes.tolist() == [perceptual_hash(image) for image in images]
