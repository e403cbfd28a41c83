"""One annotation file of a COCO set, with the files of its images."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from datamodules.sources.coco.annotation_files import AnnotationFile
from datamodules.sources.coco.box_format import (
    BoxFormat,
    corners_suspected,
    corners_to_sizes,
    require_pixels,
)
from datamodules.sources.coco.coco_file import (
    CocoBox,
    CocoImage,
    Id,
    leads_outside,
    outside_folder,
    read_coco,
)
from datamodules.sources.coco.cropping import BoxCount
from datamodules.sources.coco.images import find_images, require_present
from datamodules.sources.coco.photo_header import Header, may_be_turned, read_header, turned_size
from datamodules.sources.coco.turned_boxes import (
    BoxesOn,
    Evidence,
    Turned,
    evidence,
    find_turned,
    raw_images,
    turn_box,
)


class CocoSplit:
    """What an annotation file lists, found among the files and understood.

    Args:
        root: folder of the data set.
        file: the annotation file, its split, and where its images may lie.
        boxes_on: what boxes of turned photographs were drawn on.
        box_format: what the numbers of a box are.
        how_to_get: sentence for a user who has no such data yet.

    Attributes:
        split: train, val, test or unsplit.
        path: of the file.
        categories: id -> name.
        found: where the images are.
        repeated_ids: how many ids several boxes share.
        evidence: what the sizes of turned photographs say of their boxes.
        count: the fate of all boxes.
        used: names of the images of which something is used.

    Raises:
        DataError: the file cannot be used.
    """

    def __init__(
        self,
        root: Path,
        file: AnnotationFile,
        *,
        boxes_on: BoxesOn = "auto",
        box_format: BoxFormat = "xywh",
        how_to_get: str = "",
    ) -> None:
        self.root = root
        self.split, self.path, homes = file
        content = read_coco(self.path, how_to_get, strict=False)
        boxes = corners_to_sizes(content.boxes) if box_format == "xyxy" else content.boxes
        require_pixels(self.path, boxes)
        self.images, self.categories = content.images, content.categories
        self.found = find_images(root, [image.name for image in self.images], homes)
        boxes_of: dict[Id, list[CocoBox]] = defaultdict(list)
        for box in boxes:
            boxes_of[box.image_id].append(box)
        self.boxes_of = dict(boxes_of)
        self.boxes_on = boxes_on
        self._headers = dict(self._read_headers())
        self._turned: list[Turned] = []
        if boxes_on != "upright":
            self._turned = find_turned(self.images, self._headers, self.boxes_of)
        self.evidence = evidence(self._turned)
        ids = Counter(box.id for box in boxes if box.id is not None)
        self.repeated_ids = sum(n > 1 for n in ids.values())
        self.count = BoxCount(len(boxes))
        self.used: list[str] = []

    @property
    def name(self) -> str:
        """Of the file, relative to the root."""
        return os.path.relpath(self.path, self.root)

    def upright(
        self, others: Evidence
    ) -> Iterator[tuple[CocoImage, list[CocoBox], tuple[int, int] | None]]:
        """Each image as it is upright, its boxes on it, and its size if that was annotated.

        A size that was read from the file needs no comparison with it.

        Args:
            others: what turned photographs of all files say, where those of this one say nothing.
        """
        raw = self.raw(others)
        for listed in self.images:
            boxes = self.boxes_of.get(listed.id, [])
            image = self._sized(listed, raw=listed.id in raw)
            if image.width is None or image.height is None:  # its file cannot be read either
                yield image, boxes, None
                continue
            size = image.width, image.height
            if listed.id in raw:
                orientation = self._headers[listed.id].orientation
                boxes = [turn_box(box, orientation, size) for box in boxes]
                size = turned_size(size, orientation)
                image = image._replace(width=size[0], height=size[1])
            yield image, boxes, None if listed.width is None else size

    def unlisted_boxes(self) -> int:
        """How many boxes are of images that the file does not list."""
        listed = {image.id for image in self.images}
        return sum(len(boxes) for id, boxes in self.boxes_of.items() if id not in listed)

    @property
    def absent(self) -> list[str]:
        """Names of the images that are used and not there."""
        return [name for name in self.used if name not in self.found.files]

    def require_images(self, how_to_get: str) -> None:
        """Raise `DataError` if a used image is absent; the sentence ends with `how_to_get`."""
        absent = self.absent
        if absent and leads_outside(absent[0]) and absent[0] not in self.found.ambiguous:
            raise outside_folder(self.path, absent[0])
        require_present(self.root, self.used, how_to_get, found=self.found)

    def raw(self, others: Evidence) -> set[Id]:
        """Ids of the photographs whose boxes are turned with them."""
        return raw_images(self._turned, self.boxes_on, others)

    def corners_suspected(self, others: Evidence) -> int:
        """How many boxes reach far beyond their image, if as corners nearly all would fit."""
        raw = self.raw(others)
        images = {image.id: self._sized(image, raw=image.id in raw) for image in self.images}
        return corners_suspected([box for boxes in self.boxes_of.values() for box in boxes], images)

    @property
    def without_boxes(self) -> list[str]:
        """Names of the listed images that have no box."""
        return [image.name for image in self.images if image.id not in self.boxes_of]

    def _read_headers(self) -> Iterator[tuple[Id, Header]]:
        """By the ids of the images of whose files something must be known."""
        for image in self.images:
            if image.id not in self.boxes_of or image.name not in self.found.files:
                continue
            path = str(self.root / self.found.files[image.name])
            wanted = image.width is None or (self.boxes_on != "upright" and may_be_turned(path))
            if wanted and (header := read_header(path)):
                yield image.id, header

    def _sized(self, image: CocoImage, *, raw: bool) -> CocoImage:
        """The image with the size of what its boxes were drawn on."""
        header = self._headers.get(image.id)
        if image.width is not None or header is None:
            return image
        width, height = header.size if raw else header.upright_size
        return image._replace(width=width, height=height)
