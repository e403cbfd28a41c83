"""Boxes that were drawn on photographs as they are stored, not turned upright by their EXIF.

Many tools for annotation, and OpenCV where it is told so, show the stored pixels. Pictures are
turned when they are decoded, so such boxes have to be turned with them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from datamodules.sources.coco.coco_file import CocoBox, CocoImage, Id
from datamodules.sources.coco.photo_header import Header

BoxesOn = Literal["auto", "raw", "upright"]
BBox = tuple[float, float, float, float]  # x, y, width, height in pixels


class Turned(NamedTuple):
    """A turned photograph, and what the annotated size says of its boxes."""

    id: Id
    raw: bool | None  # None: nothing, as after a turn by 180 degrees


@dataclass(frozen=True)
class Evidence:
    """What the annotated sizes of turned photographs (or their boxes) say.

    Attributes:
        raw: photographs whose size is that of the stored pixels.
        upright: photographs whose size is that of the upright image.
        unknown: photographs of which nothing tells.
    """

    raw: int = 0
    upright: int = 0
    unknown: int = 0

    def __add__(self, other: "Evidence") -> "Evidence":
        return Evidence(
            self.raw + other.raw, self.upright + other.upright, self.unknown + other.unknown
        )

    @property
    def says_raw(self) -> bool:
        """Whether boxes of photographs that say nothing are taken as drawn on stored pixels."""
        return self.raw > self.upright


def find_turned(
    images: Iterable[CocoImage],
    headers: Mapping[Id, Header],
    boxes_of: Mapping[Id, Sequence[CocoBox]],
) -> list[Turned]:
    """The photographs that are not stored upright.

    Args:
        images: with their annotated sizes.
        headers: by the images' ids, as far as they could be read.
        boxes_of: by the images' ids; tell as much where a size is missing.
    """
    found = []
    for image in images:
        header = headers.get(image.id)
        if header is not None and header.orientation != 1:
            found.append(Turned(image.id, _is_raw(image, header, boxes_of[image.id])))
    return found


def _is_raw(image: CocoImage, header: Header, boxes: Sequence[CocoBox]) -> bool | None:
    """Whether boxes are on the stored pixels; None where nothing tells."""
    if header.size == header.upright_size:
        return None
    annotated = image.width, image.height
    if image.width is None:
        fits = [_hold(size, boxes) for size in (header.size, header.upright_size)]
    else:
        fits = [annotated == size for size in (header.size, header.upright_size)]
    return fits[0] if fits[0] != fits[1] else None


def _hold(size: tuple[int, int], boxes: Iterable[CocoBox]) -> bool:
    """Whether boxes lie in an image of (width, height), but for a pixel."""
    ends = [(box.bbox[0] + box.bbox[2], box.bbox[1] + box.bbox[3]) for box in boxes]
    return all(right <= size[0] + 1 and below <= size[1] + 1 for right, below in ends)


def evidence(turned: Sequence[Turned]) -> Evidence:
    """What photographs say together."""
    return Evidence(
        raw=sum(one.raw is True for one in turned),
        upright=sum(one.raw is False for one in turned),
        unknown=sum(one.raw is None for one in turned),
    )


def raw_images(turned: Sequence[Turned], boxes_on: BoxesOn, others: Evidence) -> set[Id]:
    """The photographs whose boxes are to be turned.

    Args:
        turned: photographs of one annotation file.
        boxes_on: what the user says of them.
        others: of all files, which decides where this file has no evidence.
    """
    if boxes_on != "auto":
        return {one.id for one in turned} if boxes_on == "raw" else set()
    own = evidence(turned)
    by_default = (own if own.raw or own.upright else others).says_raw
    return {one.id for one in turned if (by_default if one.raw is None else one.raw)}


def turn_box(box: CocoBox, orientation: int, size: tuple[int, int]) -> CocoBox:
    """A box on stored pixels as a box on the upright image (EXIF 2.3, section 4.6.4).

    Args:
        box: on the stored pixels.
        orientation: 1..8.
        size: (width, height) of the stored pixels.
    """
    x, y, width, height = box.bbox
    right, below = size[0] - x - width, size[1] - y - height  # space beyond the box
    turned: dict[int, BBox] = {
        1: (x, y, width, height),
        2: (right, y, width, height),
        3: (right, below, width, height),
        4: (x, below, width, height),
        5: (y, x, height, width),
        6: (below, x, height, width),
        7: (below, right, height, width),
        8: (y, right, height, width),
    }
    return box._replace(bbox=turned[orientation])
