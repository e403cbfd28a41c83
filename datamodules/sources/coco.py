"""COCO detection files: every box becomes one square picture of one class."""

import os
from collections import defaultdict
from pathlib import Path

from datamodules.sources.class_map import read_class_map, require_complete
from datamodules.sources.coco_file import read_coco, require_images_present
from datamodules.sources.source import Index, Item


class Coco:
    """Crops of a COCO detection set, not yet split.

    Each box is clipped to its image, widened by `margin` and squared around its centre; what then
    lies outside the image is padded when the crop is cut.

    Args:
        root: Folder of the images and of the annotation file.
        annotations: The annotation file, relative to `root`.
        class_map: Name or path of a class map; None makes every category a class.
        margin: Added on every side, as a fraction of the box's longer side.
        min_size: Boxes whose longer side is shorter are dropped, in pixels.
        how_to_get: Sentence for a user who has no such data yet.
    """

    is_made = True

    def __init__(
        self,
        *,
        root: str,
        annotations: str = "annotations.json",
        class_map: str | None = None,
        margin: float = 0.1,
        min_size: int = 16,
        how_to_get: str = "",
    ) -> None:
        self.root = Path(root)
        self.annotations = self.root / annotations
        self.class_map = class_map
        self.margin = margin
        self.min_size = min_size
        self.how_to_get = how_to_get

    def check(self) -> tuple[str, ...]:
        """The class names; `DataError` for unusable annotations or absent images."""
        content = read_coco(self.annotations, self.how_to_get)
        class_names = self._index(content).class_names
        require_images_present(self.root, content["images"], self.how_to_get)
        return class_names

    def prepare(self) -> None:
        """Nothing to make: the images are the user's."""

    def read(self) -> Index:
        """Read the annotations and make the crops.

        Raises:
            DataError: the annotations cannot be used.
        """
        return self._index(read_coco(self.annotations, self.how_to_get))

    def _index(self, content: dict[str, list[dict]]) -> Index:
        class_of = self._class_of_category(content["categories"])
        names = tuple(sorted(set(class_of.values())))
        items = self._items(content, {c: names.index(name) for c, name in class_of.items()})
        return Index(names, {"unsplit": items})

    def _class_of_category(self, categories: list[dict]) -> dict[int, str]:
        """Category id -> class name, without the dropped categories."""
        names = {category["id"]: category["name"] for category in categories}
        if self.class_map is None:
            return names
        class_map = read_class_map(self.class_map)
        require_complete(class_map, names.values())
        return {i: class_map[name] for i, name in names.items() if class_map[name] is not None}

    def _items(self, content: dict[str, list[dict]], label_of: dict[int, int]) -> list[Item]:
        """One item per usable box, those of one image side by side."""
        boxes = defaultdict(list)
        for annotation in content["annotations"]:
            if annotation["category_id"] in label_of:
                boxes[annotation["image_id"]].append(annotation)
        items = []
        for image in content["images"]:
            for annotation in boxes[image["id"]]:
                box = self._crop_box(annotation["bbox"], image["width"], image["height"])
                if box is not None:
                    name = os.path.normpath(image["file_name"])
                    label = label_of[annotation["category_id"]]
                    items.append(Item(str(self.root / name), label, box, name))
        return items

    def _crop_box(
        self, bbox: list[float], width: int, height: int
    ) -> tuple[int, int, int, int] | None:
        """The square of a box (x, y, w, h in pixels); None where too little is in the image."""
        x0, y0 = max(bbox[0], 0), max(bbox[1], 0)
        x1, y1 = min(bbox[0] + bbox[2], width), min(bbox[1] + bbox[3], height)
        # Written so that a NaN anywhere drops the box.
        if not (x1 > x0 and y1 > y0 and max(x1 - x0, y1 - y0) >= self.min_size):
            return None
        side = max(1, round(max(x1 - x0, y1 - y0) * (1 + 2 * self.margin)))
        left, top = round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2)
        return left, top, left + side, top + side
