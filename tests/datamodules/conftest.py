import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def make_folder(tmp_path):
    """Writes a small image folder and gives its root."""

    def make(counts=None, *, size=(20, 30), root=None, suffix=".png") -> Path:
        root = root or tmp_path / "images"
        rng = np.random.default_rng(0)
        counts = counts or {"train": {"can": 5, "box": 6}, "val": {"can": 2, "box": 2}}
        for split, classes in counts.items():
            for name, count in classes.items():
                folder = root / split / name
                folder.mkdir(parents=True)
                for n in range(count):
                    pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
                    Image.fromarray(pixels).save(folder / f"{n:04d}{suffix}")
        return root

    return make


@pytest.fixture
def make_coco(tmp_path):
    """Writes a COCO detection set of grey images of 100 x 80 and gives its root."""

    def make(boxes, *, categories=("can", "box"), names=None, root=None, **changes) -> Path:
        root = root or tmp_path / "coco"
        root.mkdir(parents=True, exist_ok=True)
        names = names or [f"{n}.png" for n in range(len(boxes))]
        for name in names:
            if ".." not in name and not name.startswith("/"):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (100, 80), (90, 90, 90)).save(root / name)
        content = {
            "images": [
                {"id": n, "file_name": name, "width": 100, "height": 80}
                for n, name in enumerate(names)
            ],
            "annotations": [
                {"id": 1000 * n + m, "image_id": n, "category_id": label, "bbox": box}
                for n, of_image in enumerate(boxes)
                for m, (label, box) in enumerate(of_image)
            ],
            "categories": [{"id": i, "name": name} for i, name in enumerate(categories)],
        }
        (root / "annotations.json").write_text(json.dumps({**content, **changes}))
        return root

    return make
