"""A drawn data set: nothing to download, six waste classes, hard enough to be interesting."""

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar

from datamodules.files import build_once
from datamodules.schema import Probability, Size, Within, declared
from datamodules.sources.coco import Coco
from datamodules.sources.source import Index
from datamodules.workers import map_in_order

# Part of the folder's name: raise it when the drawing changes.
DRAWING_VERSION = 1


@declared
class Synthetic:
    """Scenes with 2 or 3 pieces of waste each, written as a COCO detection set and read as one.

    A scene is a pure function of (seed, its number, the other settings).

    Attributes:
        root: folder in which `synthetic_<hash of the settings>` is made.
        scenes: how many images are drawn.
        image_size: height and width of a scene in pixels.
        ambiguity: probability that an object borrows its shape, its surface or its colour (each
            by its own lot) from another class; 0 is easiest.
        seed: of the drawing.
    """

    place: ClassVar[str] = "data.source"

    root: str
    scenes: Annotated[int, Within(20, words="20 scenes or more: fewer are too few to split")] = 600
    image_size: Annotated[Size, Within(64, words="[height, width] of at least 64 pixels each")] = (
        240,
        320,
    )
    ambiguity: Probability = 0.03
    seed: Annotated[int, Within(0)] = 0

    def __post_init__(self) -> None:
        settings = (DRAWING_VERSION, self.scenes, self.image_size, self.ambiguity, self.seed)
        name = hashlib.sha256(repr(settings).encode()).hexdigest()[:12]
        self.folder = Path(self.root) / f"synthetic_{name}"

    @property
    def is_made(self) -> bool:
        """Whether the scenes are drawn."""
        return self.folder.is_dir()

    def check(self) -> tuple[str, ...]:
        """The class names; draws nothing."""
        from datamodules.sources.drawing.looks import CLASS_NAMES

        return tuple(sorted(CLASS_NAMES))

    def prepare(self) -> None:
        """Draw the scenes unless they are there (a few seconds)."""
        build_once(self.folder, self._draw)

    def read(self) -> Index:
        """The drawn boxes as crops."""
        return Coco(root=str(self.folder)).read()

    def _draw(self, folder: Path) -> None:
        (folder / "images").mkdir()
        objects = list(map_in_order(partial(self._draw_scene, folder), range(self.scenes)))
        (folder / "annotations.json").write_text(json.dumps(self._annotations(objects)))

    def _annotations(self, objects: list) -> dict[str, list[dict]]:
        """The COCO file of the objects drawn in each scene."""
        from datamodules.sources.drawing.looks import CLASS_NAMES

        height, width = self.image_size
        images = [
            {"id": n, "file_name": _file_name(n), "width": width, "height": height}
            for n in range(self.scenes)
        ]
        boxes = [(n, label, box) for n, found in enumerate(objects) for label, box in found]
        annotations = [
            {"id": i, "image_id": n, "category_id": label, "bbox": box}
            for i, (n, label, box) in enumerate(boxes)
        ]
        categories = [{"id": i, "name": name} for i, name in enumerate(CLASS_NAMES)]
        return {"images": images, "annotations": annotations, "categories": categories}

    def _draw_scene(self, folder: Path, number: int) -> list:
        import numpy as np
        from PIL import Image

        from datamodules.sources.drawing.scene import draw_scene

        rng = np.random.default_rng((self.seed, number))
        image, objects = draw_scene(rng, self.image_size, self.ambiguity)
        Image.fromarray(image).save(folder / _file_name(number), quality=92)
        return objects


def _file_name(number: int) -> str:
    return f"images/{number:05d}.jpg"
