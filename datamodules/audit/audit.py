"""The audit of a data set: what is in it, and what is wrong with it."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

from datamodules.audit.duplicates import Group, find_duplicates
from datamodules.audit.issues import Issue, find_issues
from datamodules.audit.label_issues import LabelIssues
from datamodules.audit.reading import BadFile, Picture, find_levels, read_pictures
from datamodules.audit.similarity import DISTANCE
from datamodules.errors import DataError, shown
from datamodules.schema import Size, Within, checked
from datamodules.sources import Index, Item

UNLABELLED = "unlabelled"
BitsOfHash = Annotated[int, Within(0, 64, "0..64, the bits of a hash")]


@dataclass(frozen=True)
class Audit:
    """What was found."""

    index: Index
    pictures: Sequence[Picture]
    bad: Sequence[BadFile]
    duplicates: dict[str, list[Group]]  # kind -> groups
    issues: Sequence[Issue]
    distance: int = DISTANCE  # bits in which the hashes of look-alikes may differ
    labels: LabelIssues | None = None  # where predictions were given
    levels: int | None = None  # bits in use in samples of more than 8; None: there are no such

    @cached_property
    def counts(self) -> dict[str, Counter[str]]:
        """Split -> class -> items, the unreadable ones too."""
        return {
            split: Counter(self.class_of(item) for item in items)
            for split, items in self.index.splits.items()
        }

    def class_of(self, item: Item) -> str:
        """The name of an item's class."""
        return UNLABELLED if item.label < 0 else shown(self.index.class_names[item.label])

    def file_name(self, item: Item) -> str:
        """An item's file, relative to the folder of all files."""
        return shown(os.path.relpath(item.path, self.folder))

    def name(self, item: Item) -> str:
        """An item's file, and its box where it has one."""
        box = "" if item.box is None else f" {list(item.box)}"
        return f"{self.file_name(item)}{box}"

    @cached_property
    def folder(self) -> str:
        """The folder of all files, to which their names are relative."""
        folders = {Path(i.path).parent for items in self.index.splits.values() for i in items}
        return os.path.commonpath(folders)


def audit(index: Index, *, image_size: Size, distance: int = DISTANCE) -> Audit:
    """Read all pictures and compare them.

    Args:
        index: the data set, split.
        image_size: height and width of the network's input, in pixels.
        distance: bits of 64 in which the perceptual hashes of look-alikes may differ.

    Raises:
        DataError: no image can be read, or the distance is none.
    """
    checked("distance", distance, BitsOfHash)
    levels = find_levels(index.splits)
    pictures, bad = read_pictures(index.splits, levels=levels)
    if not pictures:
        first = f"{bad[0].path}: {bad[0].reason}" if bad else "there are none"
        raise DataError(f"None of the {len(bad)} image files can be read; the first: {first}.")
    return Audit(
        index=index,
        pictures=pictures,
        bad=bad,
        duplicates=find_duplicates(pictures, distance=distance),
        issues=list(find_issues(pictures, image_size=image_size)),
        distance=distance,
        levels=levels,
    )
