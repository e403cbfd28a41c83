"""What a source of images is: something that can be checked, made and read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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


class LeftOut(NamedTuple):
    """Files (or boxes) that a source left out for one reason."""

    reason: str  # in a few words, as "thumbnails in @eaDir"
    count: int  # type: ignore[assignment]  # of files; tuples have a method of that name
    first: str = ""  # the name of one of them, relative to the root


@dataclass(frozen=True)
class Index:
    """All items of a data set by split, and how it was read.

    The splits are `train`, `val` and `test` (labelled), `predict` (unlabelled), and `unsplit`: what
    a source without ready splits leaves to `datamodules.splits.splits.Splits`.

    Attributes:
        class_names: a label is an index into them.
        splits: split -> its items.
        left_out: what is no item though it lies there, or is listed.
        notes: how the source was understood where it could be otherwise, a sentence each.
        columns: of a table: name of a column -> group of an item -> its value there.
        new: groups that are there, though not in the record of the run that the splits follow.
        gone: groups of that record that are not there.
        related: group of an item -> name of what it belongs to, as versions of one photograph or
            pictures of one patient do.
        sources: split -> where it comes from, such as `valid/`; empty for the root itself.
        nested: class -> how many of its images lie in folders below its own.
    """

    class_names: tuple[str, ...]
    splits: dict[str, list[Item]]
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    new: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    related: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    nested: Mapping[str, int] = field(default_factory=dict)


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
