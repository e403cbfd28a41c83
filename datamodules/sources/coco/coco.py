"""COCO detection files: every box becomes one picture of one class."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

from datamodules.errors import DataError
from datamodules.schema import checked
from datamodules.sources.coco.annotation_files import DEFAULT, annotation_files
from datamodules.sources.coco.box_format import BoxFormat
from datamodules.sources.coco.class_map import read_class_map, require_complete
from datamodules.sources.coco.coco_file import Id, leads_outside
from datamodules.sources.coco.cropping import Cropping
from datamodules.sources.coco.notes import all_notes, left_out
from datamodules.sources.coco.split import CocoSplit
from datamodules.sources.coco.turned_boxes import BoxesOn, Evidence
from datamodules.sources.source import Index, Item

Missing = Literal["refuse", "skip"]


class Coco:
    """Crops of a COCO detection set, in the splits of its annotation files or not yet split.

    Each box is clipped to its image, widened by `margin` and squared around its centre; what then
    lies outside the image is padded when the crop is cut. Crowds (`iscrowd: 1`) are left out.
    Sizes that the annotations lack are read from the images.

    Args:
        root: folder of the images and of the annotation file.
        annotations: the annotation file or a folder of them, relative to `root`, or the file of
            each split. Where the default is absent, a file for each split is looked for.
        class_map: name or path of a class map; None makes every category a class. A class without
            any box is left out.
        margin: added to a box at both ends, as a fraction of its width and of its height.
        min_size: boxes whose longer side is shorter are dropped, in pixels.
        square: make boxes squares of the longer side; else they keep their aspect ratio.
        boxes: what boxes of photographs with an EXIF orientation were drawn on: the `upright`
            image, or the pixels as they are stored (`raw`). `auto` tells by the annotated sizes,
            where these fit both by those of the other photographs, and else takes `upright`.
        box_format: `xywh`, as COCO has it, or `xyxy`, of exports that write two corners.
        missing: `refuse` listed images that are absent, or `skip` them.
        how_to_get: sentence for a user who has no such data yet.
    """

    is_made = True

    def __init__(
        self,
        *,
        root: str,
        annotations: str | Mapping[str, str] = DEFAULT,
        class_map: str | None = None,
        margin: float = 0.1,
        min_size: float = 16,
        square: bool = True,
        boxes: BoxesOn = "auto",
        box_format: BoxFormat = "xywh",
        missing: Missing = "refuse",
        how_to_get: str = "",
    ) -> None:
        self.root = Path(root)
        self.annotations = annotations
        self.class_map = class_map
        self.cropping = Cropping(margin=margin, min_size=min_size, square=square)
        self.boxes: BoxesOn = checked("data.source.boxes", boxes, BoxesOn)
        self.box_format: BoxFormat = checked("data.source.box_format", box_format, BoxFormat)
        self.missing: Missing = checked("data.source.missing", missing, Missing)
        self.how_to_get = how_to_get

    def check(self) -> tuple[str, ...]:
        """The class names; `DataError` for unusable annotations or absent images."""
        names = self._index.class_names
        for part in self._parts if self.missing == "refuse" else ():
            part.require_images(self.how_to_get)
        return names

    def prepare(self) -> None:
        """Nothing to make: the images are the user's."""

    def read(self) -> Index:
        """Read the annotations and make the crops.

        Raises:
            DataError: the annotations cannot be used.
        """
        return self._index

    @cached_property
    def _parts(self) -> list[CocoSplit]:
        return [
            CocoSplit(
                self.root,
                file,
                boxes_on=self.boxes,
                box_format=self.box_format,
                how_to_get=self.how_to_get,
            )
            for file in annotation_files(self.root, self.annotations)
        ]

    @cached_property
    def _index(self) -> Index:
        parts = self._parts
        class_of = [self._class_of_category(part.categories) for part in parts]
        names = sorted({name for found in class_of for name in found.values()})
        others = sum((part.evidence for part in parts), Evidence())
        splits: dict[str, list[Item]] = {}
        for part, found in zip(parts, class_of, strict=True):
            label_of = {category: names.index(name) for category, name in found.items()}
            items = self._items(part, label_of, others)
            if items:
                splits[part.split] = items
            elif part.split != "test" or len(parts) == 1:
                part.require_images(self.how_to_get)
                raise DataError(f"{part.path} leaves nothing to learn from: {part.count}.")
        _require_one_claim(parts, splits)
        used, splits = _without_empty_classes(names, splits)
        empty = [name for name in names if name not in used]
        as_given = [part.path for part in parts] == [self.root / str(self.annotations)]
        return Index(
            used,
            splits,
            left_out=left_out(parts),
            notes=tuple(all_notes(parts, others, empty=empty)),
            sources={p.split: p.name for p in parts if p.split in splits and not as_given},
        )

    def _class_of_category(self, categories: dict[Id, str]) -> dict[Id, str]:
        """Category id -> class name, without the dropped categories."""
        if self.class_map is None:
            return categories
        class_map = read_class_map(self.class_map)
        require_complete(class_map, categories.values())
        found = {i: class_map[name] for i, name in categories.items()}
        return {i: name for i, name in found.items() if name is not None}

    def _items(self, part: CocoSplit, label_of: Mapping[Id, int], others: Evidence) -> list[Item]:
        """One item per usable box, those of one image side by side; notes the fate of all."""
        items = []
        for image, boxes, size in part.upright(others):
            crops = list(self.cropping.crops(image, boxes, label_of, part.count))
            if not crops:
                continue
            part.used.append(image.name)
            group = part.found.files.get(image.name)
            if group is None and (self.missing == "skip" or leads_outside(image.name)):
                continue
            group = group or image.name  # the annotations of absent images can be read, too
            path = str(self.root / group)
            items += [Item(path, label, crop, group, size) for label, crop in crops]
        part.count.drop("of unlisted images", "", part.unlisted_boxes())
        return items


def _without_empty_classes(
    names: Sequence[str], splits: Mapping[str, Sequence[Item]]
) -> tuple[tuple[str, ...], dict[str, list[Item]]]:
    """The names of the classes that have items, and the items with labels into these names."""
    used = sorted({item.label for items in splits.values() for item in items})
    label_of = {old: new for new, old in enumerate(used)}
    kept = {
        split: [item._replace(label=label_of[item.label]) for item in items]
        for split, items in splits.items()
    }
    return tuple(names[label] for label in used), kept


def _require_one_claim(parts: Sequence[CocoSplit], splits: Mapping[str, Sequence[Item]]) -> None:
    """Raise `DataError` if two files take one image, and found it only by the end of its name."""
    groups = {split: {item.group for item in items} for split, items in splits.items()}
    for part in parts:
        others = set().union(*(found for split, found in groups.items() if split != part.split))
        for name in part.found.by_ends:
            if part.found.files[name] in others:
                raise DataError(
                    f"{part.path} lists {name!r}, for which only the image "
                    f"{part.found.files[name]} of another annotation file is there: each split "
                    "must have its own images."
                )
