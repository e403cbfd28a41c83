import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.audit.reading import File, decode_truncated, read_pictures
from datamodules.decoding.crops import PADDING_COLOR
from datamodules.sources.source import Item
from tests.datamodules.audit.conftest import scene


def _bytes(image, kind):
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def _item(path, box=None):
    return Item(str(path), 0, box, Path(path).name)


def test_facts_of_a_picture(make_index):
    index = make_index({"train/a/1.png": scene(0, (48, 64))})
    ((picture,), bad) = read_pictures(index.splits)
    assert (picture.split, picture.width, picture.height) == ("train", 64, 48) and bad == []
    path = Path(index.splits["train"][0].path)
    assert picture.file == File(path.stat().st_size, "PNG", "RGB", 1)
    assert picture.thumbnail.shape == (16, 16) and picture.thumbnail.dtype == np.uint8
    assert 0 <= picture.phash < 2**64


def test_boxes_are_pictures_of_their_own(tmp_path):
    image = np.asarray(scene(0)).copy()
    path = tmp_path / "a.png"
    Image.fromarray(image).save(path)
    outside = np.full((40, 40, 3), PADDING_COLOR, np.uint8)
    outside[10:, 10:] = image[:30, :30]
    Image.fromarray(outside).save(tmp_path / "b.png")
    Image.fromarray(image[20:60, 30:80]).save(tmp_path / "c.png")
    boxes = [(-10, -10, 30, 30), (30, 20, 80, 60), (500, 500, 540, 540)]
    items = [*(_item(path, box) for box in boxes), _item(tmp_path / "b.png")]
    pictures, _ = read_pictures({"train": [*items, _item(tmp_path / "c.png")]})
    assert [(p.width, p.height) for p in pictures[:3]] == [(40, 40), (50, 40), (40, 40)]
    digests = [p.pixel_digest for p in pictures]
    assert digests[0] == digests[3] and digests[1] == digests[4]
    assert len(set(digests)) == 3 and len({p.file_digest for p in pictures}) == 5
    assert (pictures[2].thumbnail == PADDING_COLOR[0]).all()


def test_another_size_than_annotated_is_damage(tmp_path):
    scene(0, (48, 64)).save(tmp_path / "a.png")
    item = _item(tmp_path / "a.png", (0, 0, 9, 9))._replace(size=(640, 480))
    pictures, (bad,) = read_pictures({"train": [item]})
    assert not pictures
    assert "is 64 x 48 pixels and annotated as 640 x 480" in bad.reason


def test_a_file_is_decoded_once(tmp_path, monkeypatch):
    from datamodules.audit import reading

    calls = []
    decode = reading.decode_image
    monkeypatch.setattr(
        reading, "decode_image", lambda path, **size: calls.append(path) or decode(path, **size)
    )
    path = tmp_path / "a.png"
    scene(0).save(path)
    read_pictures({"train": [_item(path, (n, 0, n + 9, 9)) for n in range(5)]})
    assert calls == [str(path)]


def test_the_same_picture_in_other_clothes(make_index):
    upright = scene(0)
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    turned.save(file, "PNG", exif=exif)
    index = make_index({"train/a/1.png": upright, "train/a/2.png": file.getvalue()})
    first, second = read_pictures(index.splits)[0]
    assert first.pixel_digest == second.pixel_digest and first.phash == second.phash
    assert first.file_digest != second.file_digest


def _corrupt(folder):
    """File -> what must be said of it."""
    image = scene(0)
    png, jpeg = _bytes(image, "PNG"), _bytes(image, "JPEG")
    damaged = bytearray(png)
    damaged[len(png) // 2] ^= 255
    contents = {
        "text.jpg": (b"hello, I am text", "not an image: it begins with b'hello, I am '"),
        "empty.png": (b"", "the file is empty"),
        "half.jpg": (jpeg[: len(jpeg) // 2], "truncated"),
        "half.png": (png[: len(png) // 2], "truncated"),
        "head.jpg": (jpeg[:200], ""),
        "damaged.png": (bytes(damaged), ""),
    }
    for name, (content, _) in contents.items():
        (folder / name).write_bytes(content)
    (folder / "folder.jpg").mkdir()
    (folder / "link.jpg").symlink_to(folder / "nowhere.jpg")
    said = {name: sentence for name, (_, sentence) in contents.items()}
    return {
        **said,
        "folder.jpg": "a folder, not a file",
        "link.jpg": "a link to nothing",
        "gone.jpg": "there is no such file",
    }


def test_every_corrupt_file_is_named_with_its_reason(tmp_path):
    expected = _corrupt(tmp_path)
    scene(1).save(tmp_path / "whole.png")
    names = ["whole.png", *expected]
    pictures, bad = read_pictures({"train": [_item(tmp_path / name) for name in names]})
    assert [p.item.group for p in pictures] == ["whole.png"]
    assert [Path(b.path).name for b in bad] == list(expected)
    for found in bad:
        assert expected[Path(found.path).name] in found.reason and found.reason
        assert str(tmp_path) not in found.reason and "\n" not in found.reason


def test_too_large_to_be_safe(make_index, monkeypatch):
    index = make_index({"train/a/1.png": scene(0)})
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    _, (bad,) = read_pictures(index.splits)
    assert "exceeds limit" in bad.reason


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_what_is_left_of_a_truncated_file(tmp_path, kind):
    whole = _bytes(scene(0), kind)
    path = tmp_path / "half"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    left = decode_truncated(str(path))
    right = np.asarray(Image.open(io.BytesIO(whole)).convert("RGB"))
    assert left.shape == right.shape
    assert np.array_equal(left[:40], right[:40]) and not np.array_equal(left[-8:], right[-8:])


def test_nothing_is_left_and_strictness_returns(tmp_path):
    (tmp_path / "text.jpg").write_text("hello")
    assert decode_truncated(str(tmp_path / "text.jpg")) is None
    assert decode_truncated(str(tmp_path)) is None
    (tmp_path / "half.png").write_bytes(_bytes(scene(0), "PNG")[:9000])
    decode_truncated(str(tmp_path / "half.png"))
    assert len(read_pictures({"train": [_item(tmp_path / "half.png")]})[1]) == 1
