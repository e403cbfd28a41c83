"""What the numbers of annotated boxes mean: sizes or corners, pixels or fractions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from datamodules.errors import DataError
from datamodules.sources.coco.coco_file import CocoBox, CocoImage, Id

BoxFormat = Literal["xywh", "xyxy"]
OVERHANG = 0.05  # of an image's side: boxes that reach further beyond are no sloppy drawing
SUSPICIOUS = 0.1  # share of such boxes from which on corners are suspected,
FITTING = 0.98  # if so many would fit as corners
SLACK = 1.0  # pixels by which corners may lie outside


def require_pixels(path: Path, boxes: Sequence[CocoBox]) -> None:
    """Raise `DataError` if no number of any box is more than 1: they are fractions."""
    if boxes and all(max(box.bbox) <= 1 for box in boxes) and any(any(b.bbox) for b in boxes):
        shown = ", ".join(f"{number:.3g}" for number in boxes[0].bbox)
        raise DataError(
            f"{path} has boxes in fractions of the image, such as [{shown}]: COCO boxes are x, y, "
            "width, height in pixels; multiply them by the image's sides."
        )


def corners_to_sizes(boxes: Sequence[CocoBox]) -> list[CocoBox]:
    """Boxes that were written as x0, y0, x1, y1."""
    return [
        box._replace(bbox=(x0, y0, x1 - x0, y1 - y0))
        for box, (x0, y0, x1, y1) in ((box, box.bbox) for box in boxes)
    ]


def corners_suspected(boxes: Sequence[CocoBox], images: Mapping[Id, CocoImage]) -> int:
    """How many boxes reach far beyond their image, if nearly all would fit as corners; else 0.

    Args:
        boxes: read as x, y, width, height.
        images: by their ids; those without a size say nothing.
    """
    beyond = fitting = measured = 0
    for box in boxes:
        image = images.get(box.image_id)
        if image is None or image.width is None or image.height is None:
            continue
        x, y, width, height = box.bbox
        measured += 1
        fitting += (
            min(x, y) >= -SLACK
            and x < width <= image.width + SLACK
            and y < height <= image.height + SLACK
        )
        beyond += max((x + width) / image.width, (y + height) / image.height) > 1 + OVERHANG
    suspected = fitting >= FITTING * measured and beyond >= max(1, SUSPICIOUS * measured)
    return beyond if suspected else 0
