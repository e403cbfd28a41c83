"""What a source of images is: something that can be checked, made and read."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels


class Item(NamedTuple):
    """One picture: a whole image or a box of one."""

    path: str
    label: int  # index into the class names; -1 where nobody knows
    # In the EXIF-oriented image; may reach outside, where the crop is padded. None is the whole.
    box: Box | None
    # The identity of the image: items of one group never fall into two splits.
    group: str
    # (width, height) in pixels of the EXIF-oriented image, where an annotation says it: a file of
    # another size would give wrong crops, and is refused.
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Index:
    """All items of a data set by split.

    The splits are `train`, `val` and `test` (labelled), `predict` (unlabelled), and `unsplit`: what
    a source without ready splits leaves to `datamodules.splits.splits.Splits`.
    """

    class_names: tuple[str, ...]
    splits: dict[str, list[Item]]


class Source(Protocol):
    """Where images come from. Building and checking one imports neither torch nor OpenCV."""

    @property
    def is_made(self) -> bool:
        """Whether `read` can be called before `prepare`."""

    def check(self) -> tuple[str, ...]:
        """The class names; `DataError` for every mistake that paths and file headers show.

        Makes nothing.
        """

    def prepare(self) -> None:
        """Make what is missing, whole or not at all; safe in several processes at once."""

    def read(self) -> Index:
        """The index; `DataError` where `check` raises one."""
