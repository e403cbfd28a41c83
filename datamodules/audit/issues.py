"""Readable pictures that a person should look at: plain, narrow, tiny, or not what they say."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from datamodules.audit.reading import Picture
from datamodules.audit.similarity import is_plain
from datamodules.schema import Size

NARROW = 4  # longer side by shorter side, above which little is left when both become equal
ENLARGED = 2  # factor of enlarging to the network's input, above which a picture is tiny
USUAL_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")
# A phone's JPEG that holds a second picture.
SAME_FORMAT = {"MPO": "JPEG"}


class Issue(NamedTuple):
    """A picture and all that is odd about it."""

    picture: Picture
    what: str


def find_issues(pictures: Sequence[Picture], *, image_size: Size) -> Iterator[Issue]:
    """The odd ones; what is odd about a file is said of its first item only.

    Args:
        pictures: all of them.
        image_size: height and width of the network's input, in pixels.
    """
    seen = set()
    for picture in pictures:
        found = [_plain(picture), _narrow(picture), _tiny(picture, image_size)]
        if picture.item.path not in seen:
            found += [_misnamed(picture), _mode(picture), _frames(picture)]
        seen.add(picture.item.path)
        if any(found):
            yield Issue(picture, "; ".join(filter(None, found)))


def _plain(picture: Picture) -> str:
    return "nearly of one colour" if is_plain(picture.thumbnail[None])[0] else ""


def _narrow(picture: Picture) -> str:
    sides = sorted((picture.width, picture.height))
    ratio = sides[1] / sides[0]
    return f"sides {ratio:.1f} to 1" if ratio > NARROW else ""


def _tiny(picture: Picture, size: Size) -> str:
    factor = min(size[0] / picture.height, size[1] / picture.width)
    return f"enlarged {factor:.1f} times" if factor > ENLARGED else ""


def _misnamed(picture: Picture) -> str:
    suffix = Path(picture.item.path).suffix.lower()
    said = Image.registered_extensions().get(suffix)
    found = SAME_FORMAT.get(picture.file.format, picture.file.format)
    return f"{found} named {suffix}" if said and found != said else ""


def _mode(picture: Picture) -> str:
    mode = picture.file.mode
    return "" if mode in USUAL_MODES else f"colour mode {mode}"


def _frames(picture: Picture) -> str:
    frames = picture.file.frames
    moving = frames > 1 and picture.file.format not in SAME_FORMAT
    return f"{frames} frames, the first is used" if moving else ""
