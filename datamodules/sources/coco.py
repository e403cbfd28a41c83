"""COCO detection files: every box becomes one picture of one class."""

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from datamodules.errors import DataError
from datamodules.sources.class_map import read_class_map, require_complete
from datamodules.sources.coco_file import CocoFile, Id, read_coco
from datamodules.sources.cropping import BoxCount, Cropping
from datamodules.sources.source import Index, Item

log = logging.getLogger(__name__)


class Coco:
    """Crops of a COCO detection set, not yet split.

    Each box is clipped to its image, widened by `margin` and squared around its centre; what then
    lies outside the image is padded when the crop is cut. Crowds (`iscrowd: 1`) are left out.
    Annotated sizes and boxes are those of the image turned upright, as EXIF says.

    Args:
        root: folder of the images and of the annotation file.
        annotations: the annotation file, relative to `root`.
        class_map: name or path of a class map; None makes every category a class. A class without
            any box is left out.
        margin: added to a box at both ends, as a fraction of its width and of its height.
        min_size: boxes whose longer side is shorter are dropped, in pixels.
        square: make boxes squares of the longer side; else they keep their aspect ratio.
        how_to_get: sentence for a user who has no such data yet.
    """

    is_made = True

    def __init__(
        self,
        *,
        root: str,
        annotations: str = "annotations.json",
        class_map: str | None = None,
        margin: float = 0.1,
        min_size: float = 16,
        square: bool = True,
        how_to_get: str = "",
    ) -> None:
        self.root = Path(root)
        self.annotations = self.root / annotations
        self.class_map = class_map
        self.cropping = Cropping(margin=margin, min_size=min_size, square=square)
        self.how_to_get = how_to_get
        self._notes: list[str] = []

    def check(self) -> tuple[str, ...]:
        """The class names; `DataError` for unusable annotations or absent images."""
        items = (item for split in self._index.splits.values() for item in split)
        require_present(self.root, dict.fromkeys(item.group for item in items), self.how_to_get)
        return self._index.class_names

    def prepare(self) -> None:
        """Say, once, what of the annotations is not used; the images are the user's."""
        _ = self._index
        while self._notes:
            log.info("%s: %s.", self.annotations, self._notes.pop(0))

    def read(self) -> Index:
        """Read the annotations and make the crops.

        Raises:
            DataError: the annotations cannot be used.
        """
        return self._index

    @cached_property
    def _index(self) -> Index:
        file = read_coco(self.annotations, self.how_to_get)
        class_of = self._class_of_category(file.categories)
        names = sorted(set(class_of.values()))
        label_of = {category: names.index(name) for category, name in class_of.items()}
        count = BoxCount(len(file.boxes))
        items = self._items(file, label_of, count)
        if not items:
            raise DataError(f"{self.annotations} leaves nothing to learn from: {count}.")
        used, items = _without_empty_classes(names, items)
        self._notes = _notes(file, count, [name for name in names if name not in used])
        return Index(used, {"unsplit": items})

    def _class_of_category(self, categories: dict[Id, str]) -> dict[Id, str]:
        """Category id -> class name, without the dropped categories."""
        if self.class_map is None:
            return categories
        class_map = read_class_map(self.class_map)
        require_complete(class_map, categories.values())
        found = {i: class_map[name] for i, name in categories.items()}
        return {i: name for i, name in found.items() if name is not None}

    def _items(self, file: CocoFile, label_of: dict[Id, int], count: BoxCount) -> list[Item]:
        """One item per usable box, those of one image side by side; notes the fate of all."""
        boxes_of = defaultdict(list)
        for box in file.boxes:
            boxes_of[box.image_id].append(box)
        items = []
        for image in file.images:
            path = str(self.root / image.name)
            size = image.width, image.height
            boxes = boxes_of.pop(image.id, ())
            for label, crop in self.cropping.crops(image, boxes, label_of, count):
                items.append(Item(path, label, crop, image.name, size))
        count.dropped["of unlisted images"] = sum(map(len, boxes_of.values()))
        return items


def _without_empty_classes(
    names: list[str], items: list[Item]
) -> tuple[tuple[str, ...], list[Item]]:
    """The names of the classes that have items, and the items with labels into these names."""
    used = sorted({item.label for item in items})
    if len(used) < len(names):
        label_of = {old: new for new, old in enumerate(used)}
        items = [item._replace(label=label_of[item.label]) for item in items]
    return tuple(names[label] for label in used), items


def _notes(file: CocoFile, count: BoxCount, empty: list[str]) -> list[str]:
    """What a user should know of the annotations that were read."""
    notes = [str(count)] if count.clipped or count.dropped.total() else []
    ids = Counter(box.id for box in file.boxes if box.id is not None)
    if repeated := sum(n > 1 for n in ids.values()):
        notes.append(f"{repeated} annotation ids occur twice or more, and all their boxes are read")
    if empty:
        notes.append(f"no box is left of {', '.join(empty)}, so these classes are left out")
    return notes


def require_present(root: Path, names: Iterable[str], how_to_get: str = "") -> None:
    """Raise `DataError` with the count and the first of those names that are no file in `root`.

    Each folder is listed once, which is several times faster than asking for every file.
    """
    folders: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name in names:
        folder, base = os.path.split(name)
        folders[folder].append((base, name))
    absent = []
    for folder, files in folders.items():
        present = _files_in(root / folder)
        absent += [name for base, name in files if base not in present]
    if absent:
        count = sum(map(len, folders.values()))
        raise DataError(
            f"{len(absent)} of {count} annotated images are not among the files of {root}, first "
            f"{absent[0]!r}: download them or remove them from the annotations. "
            f"{how_to_get}".strip()
        )


def _files_in(folder: Path) -> set[str]:
    """Names of the files of a folder, and of links to files; none where it is absent."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if _is_file(entry)}
    except PermissionError:
        raise DataError(
            f"The folder {folder} may not be listed: get the right to read it."
        ) from None
    except OSError:
        return set()


def _is_file(entry: os.DirEntry) -> bool:
    try:
        return entry.is_file()
    except OSError:  # links in a circle
        return False
