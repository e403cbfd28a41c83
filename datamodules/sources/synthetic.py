"""A drawn data set: nothing to download, six waste classes, hard enough to be interesting."""

import hashlib
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from datamodules.errors import DataError
from datamodules.files import build_once
from datamodules.schema import as_size, is_number, is_size, whole
from datamodules.sources.coco import Coco
from datamodules.sources.source import Index
from datamodules.workers import map_in_order

# Part of the folder's name: raise it when the drawing changes.
DRAWING_VERSION = 1


class Synthetic:
    """Scenes with 2 or 3 pieces of waste each, written as a COCO detection set and read as one.

    A scene is a pure function of (seed, its number, the other settings).

    Args:
        root: folder in which `synthetic_<hash of the settings>` is made.
        scenes: how many images are drawn.
        image_size: height and width of a scene in pixels.
        ambiguity: probability that an object borrows its shape, its surface or its colour (each
            by its own lot) from another class; 0 is easiest.
        seed: of the drawing.
    """

    def __init__(
        self,
        *,
        root: str,
        scenes: int = 600,
        image_size: Sequence[int] = (240, 320),
        ambiguity: float = 0.03,
        seed: int = 0,
    ) -> None:
        self.scenes = scenes
        self.image_size: tuple[int, ...] = tuple(image_size)
        self.ambiguity = ambiguity
        self.seed = seed
        settings = (DRAWING_VERSION, scenes, self.image_size, float(ambiguity), seed)
        name = hashlib.sha256(repr(settings).encode()).hexdigest()[:12]
        self.folder = Path(root) / f"synthetic_{name}"

    @property
    def is_made(self) -> bool:
        """Whether the scenes are drawn."""
        return self.folder.is_dir()

    def check(self) -> tuple[str, ...]:
        """The class names; `DataError` for settings that cannot be drawn; draws nothing."""
        if whole("scenes", self.scenes, 0) < 20:
            raise DataError(f"scenes={self.scenes} is too few to split: draw at least 20.")
        if not is_size(self.image_size, low=64):
            raise DataError(
                f"The scenes' image_size={list(self.image_size)} is not [height, width] of at "
                "least 64 pixels each."
            )
        if not is_number(self.ambiguity) or not 0 <= self.ambiguity <= 1:
            raise DataError(f"ambiguity={self.ambiguity} is not a probability between 0 and 1.")
        from datamodules.sources.drawing.looks import CLASS_NAMES

        return tuple(sorted(CLASS_NAMES))

    def prepare(self) -> None:
        """Draw the scenes unless they are there (a few seconds)."""
        self.check()
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
        image, objects = draw_scene(rng, as_size(self.image_size), self.ambiguity)
        Image.fromarray(image).save(folder / _file_name(number), quality=92)
        return objects


def _file_name(number: int) -> str:
    return f"images/{number:05d}.jpg"
