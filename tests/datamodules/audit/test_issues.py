import io

import pytest
from PIL import Image

from datamodules.audit.issues import find_issues
from datamodules.audit.reading import read_pictures
from datamodules.sources.source import Item
from tests.datamodules.audit.conftest import scene


def _bytes(image, kind, **settings):
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


def _frames(count):
    first, *others = [scene(n) for n in range(count)]
    return {"save_all": True, "append_images": others}, first


def _animation(kind):
    settings, first = _frames(3)
    return _bytes(first, kind, **settings)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("1.png", scene(0), []),
        ("1.jpeg", _bytes(scene(0), "JPEG"), []),
        ("1.jpg", _animation("MPO"), []),
        ("1.png", scene(0).convert("L"), []),
        ("1.png", scene(0).resize((64, 200)), []),
        ("1.png", scene(0).resize((32, 40)), []),
        ("1.png", Image.new("RGB", (80, 60), "red"), ["nearly of one colour"]),
        ("1.png", scene(0).resize((300, 60)), ["sides 5.0 to 1"]),
        ("1.png", scene(0).resize((16, 20)), ["enlarged 3.2 times"]),
        ("1.png", _bytes(scene(0), "JPEG"), ["JPEG named .png"]),
        ("1.jpg", _bytes(scene(0).convert("CMYK"), "JPEG"), ["colour mode CMYK"]),
        ("1.webp", _animation("WEBP"), ["3 frames, the first is used"]),
        (
            "1.png",
            _bytes(Image.new("RGB", (27, 3), "red"), "BMP"),
            ["nearly of one colour; sides 9.0 to 1; enlarged 2.4 times; BMP named .png"],
        ),
    ],
)
def test_what_is_odd(make_index, name, content, said):
    pictures, _ = read_pictures(make_index({f"train/a/{name}": content}).splits)
    assert [odd.what for odd in find_issues(pictures, image_size=(64, 64))] == said


def test_of_a_file_with_many_items_it_is_said_once(make_index):
    index = make_index({"train/a/1.png": _bytes(scene(0), "JPEG")})
    (item,) = index.splits["train"]
    items = [Item(item.path, 0, (n, 0, n + 60, 60), item.group) for n in range(3)]
    pictures, _ = read_pictures({"train": items})
    assert [odd.what for odd in find_issues(pictures, image_size=(64, 64))] == ["JPEG named .png"]
