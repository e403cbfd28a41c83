"""What a source of images is: something that can be checked, made and read."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Item(NamedTuple):
    """One labelled picture: a whole image or a box of one."""

    path: str
    label: int
    # (x0, y0, x1, y1) in pixels of the EXIF-oriented image; may reach outside, where the crop is
    # padded. None is the whole image.
    box: tuple[int, int, int, int] | None
    # The identity of the image: items of one group never fall into two splits.
    group: str


@dataclass(frozen=True)
class Index:
    """All items of a data set, by split ("train", "val" and, where there is one, "test")."""

    class_names: tuple[str, ...]
    splits: dict[str, list[Item]]


class Source(Protocol):
    """Where images come from. Building and checking one imports neither torch nor OpenCV."""

    def check(self) -> tuple[str, ...]:
        """The class names; `DataError` for every mistake that paths and file headers show.

        Makes nothing.
        """

    def prepare(self) -> None:
        """Make what is missing, whole or not at all; safe in several processes at once."""

    def read(self) -> Index:
        """The index; `DataError` where `check` raises one."""
