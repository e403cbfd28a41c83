import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from datamodules.errors import DataError
from datamodules.sources.coco.coco_file import read_coco
from datamodules.sources.synthetic import Synthetic

SMALL = {"scenes": 24, "image_size": (96, 128)}


def _scene(root, number, **settings) -> np.ndarray:
    source = Synthetic(root=str(root), **{**SMALL, **settings})
    source.prepare()
    return np.asarray(Image.open(source.folder / f"images/{number:05d}.jpg"))


def test_six_classes_as_a_coco_set(tmp_path):
    source = Synthetic(root=str(tmp_path), **SMALL)
    names = ("Metal", "Paper", "Paperpack", "Plastic", "Plasticbag", "Styrofoam")
    assert source.check() == names
    assert not list(tmp_path.iterdir())
    source.prepare()
    index = source.read()
    assert index.class_names == names and list(index.splits) == ["unsplit"]
    content = read_coco(source.folder / "annotations.json")
    assert len(content.images) == 24
    per_image = np.bincount([box.image_id for box in content.boxes], minlength=24)
    assert per_image.min() >= 2 and per_image.max() <= 3
    for x, y, w, h in [box.bbox for box in content.boxes]:
        assert x >= 0 and y >= 0 and x + w <= 128 and y + h <= 96 and min(w, h) > 0


def test_scene_depends_on_seed_and_number_only(tmp_path):
    first = _scene(tmp_path / "a", 5)
    assert np.array_equal(_scene(tmp_path / "b", 5), first)
    assert np.array_equal(_scene(tmp_path / "a", 5, scenes=30), first)
    assert not np.array_equal(_scene(tmp_path / "a", 5, seed=1), first)
    assert not np.array_equal(_scene(tmp_path / "a", 6), first)
    assert len(list(tmp_path.glob("a/synthetic_*/"))) == 3


def test_drawn_once(tmp_path, monkeypatch):
    Synthetic(root=str(tmp_path), **SMALL).prepare()
    monkeypatch.setattr(Synthetic, "_draw", lambda *_: pytest.fail("drawn again"))
    Synthetic(root=str(tmp_path), **SMALL).prepare()


@pytest.mark.parametrize(
    ("settings", "word"),
    [({"scenes": 3}, "too few"), ({"image_size": (10, 10)}, "64 pixels"),
     ({"image_size": (96,)}, "64 pixels"), ({"ambiguity": 2}, "probability")],
)  # fmt: skip
def test_impossible_settings(tmp_path, settings, word):
    with pytest.raises(DataError, match=word):
        Synthetic(root=str(tmp_path), **settings).check()


def test_sources_are_light():
    """Checking a source must not wait for torch; run in a process that has imported nothing."""
    code = (
        "import sys\n"
        "from datamodules.sources.synthetic import Synthetic\n"
        "from datamodules.sources.coco import Coco\n"
        "from datamodules.sources.image_folder import ImageFolder\n"
        "from datamodules.sources.coco.class_map import read_class_map\n"
        "Synthetic(root='x').check(); read_class_map('taco6')\n"
        "print({'torch', 'pytorch_lightning', 'albumentations', 'cv2'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("set()\n", "")
