"""What becomes of annotated boxes: clipped, widened and squared into crops, or dropped."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from datamodules.schema import Flag, Within, declared
from datamodules.sources.coco.coco_file import LIMIT, CocoBox, CocoImage, Id
from datamodules.sources.source import Box, LeftOut

Corners = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels


@dataclass
class BoxCount:
    """How many boxes were clipped to their image, and how many dropped, by reason.

    Attributes:
        boxes: all that there are.
        clipped: those that reach beyond their image.
        dropped: reason -> how many.
        first: reason -> an image of such a box.
    """

    boxes: int
    clipped: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def drop(self, reason: str, image: str, boxes: int = 1) -> None:
        """Count dropped boxes of an image."""
        if boxes:
            self.dropped[reason] += boxes
            self.first.setdefault(reason, image)

    def left_out(self) -> list[LeftOut]:
        """The dropped boxes, the most frequent reason first."""
        return [
            LeftOut(f"boxes {reason}", count, self.first[reason])
            for reason, count in self.dropped.most_common()
        ]

    def __str__(self) -> str:
        total = f"clipped {self.clipped}, dropped {self.dropped.total()} of {self.boxes} boxes"
        by_reason = (+self.dropped).most_common()
        reasons = ", ".join(f"{count} {reason}" for reason, count in by_reason)
        return f"{total} ({reasons})" if reasons else total


@declared
class Cropping:
    """How a box becomes a crop.

    Attributes:
        margin: added to a box at both ends, as a fraction of its width and of its height.
        min_size: boxes whose longer side is shorter are dropped, in pixels.
        square: make boxes squares of the longer side; else they keep their aspect ratio.
    """

    place: ClassVar[str] = "data.source"

    margin: Annotated[float, Within(0, 10)]
    min_size: Annotated[float, Within(0, 1_000_000)]
    square: Flag

    def crops(
        self,
        image: CocoImage,
        boxes: Iterable[CocoBox],
        label_of: Mapping[Id, int],
        count: BoxCount,
    ) -> Iterator[tuple[int, Box]]:
        """The label and the crop of each box that is used; notes the fate of all in `count`.

        Args:
            image: the image of all these boxes.
            boxes: the boxes.
            label_of: the labels of the categories that are used.
            count: where clipped and dropped boxes are added up.
        """
        found: set[tuple[int, Box]] = set()
        for box in boxes:
            corners = _clip(box.bbox, image)
            reason = self._why_dropped(box, corners, label_of)
            if reason is not None:
                count.drop(reason, image.name)
                continue
            crop = label_of[box.category_id], self._widen(corners)
            if crop in found:
                count.drop("repeated", image.name)
                continue
            found.add(crop)
            count.clipped += corners != _corners(box.bbox)
            yield crop

    def _why_dropped(
        self, box: CocoBox, corners: Corners, label_of: Mapping[Id, int]
    ) -> str | None:
        width, height = corners[2] - corners[0], corners[3] - corners[1]
        if box.category_id not in label_of:
            return "of dropped categories"
        if box.crowd:
            return "of crowds"
        if not (width > 0 and height > 0):
            return "outside the image or without area"
        if max(width, height) < self.min_size:
            return f"shorter than min_size={self.min_size:g}"
        return None

    def _widen(self, corners: Corners) -> Box:
        """The crop about a box's centre; may reach outside of the image."""
        x0, y0, x1, y1 = corners
        width, height = x1 - x0, y1 - y0
        if self.square:
            width = height = max(width, height)
        left, right = self._ends(x0 + x1, width)
        top, bottom = self._ends(y0 + y1, height)
        return left, top, right, bottom

    def _ends(self, ends: float, length: float) -> tuple[int, int]:
        whole = max(1, round(length * (1 + 2 * self.margin)))
        start = round((ends - whole) / 2)
        return start, start + whole


def _corners(bbox: Corners) -> Corners:
    """(x0, y0, x1, y1) of (x, y, width, height)."""
    return bbox[0], bbox[1], bbox[0] + bbox[2], bbox[1] + bbox[3]


def _clip(bbox: Corners, image: CocoImage) -> Corners:
    """The part of a box inside the image: without area where there is none."""
    x0, y0, x1, y1 = _corners(bbox)
    # A file whose size nobody could read is refused when it is decoded.
    width, height = image.width or LIMIT, image.height or LIMIT
    return max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
