"""What a user's own file of splits says of the images that there are."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from datamodules.errors import DataError
from datamodules.sources import Index, LeftOut
from datamodules.splits.image_names import find_images
from datamodules.splits.listed_splits import read_listed_splits
from datamodules.splits.split_file import LEFT_OUT, SplitRecord

Unlisted = Literal["leave_out", "share"]
READY = ("train", "val", "test")
SHOWN = 3  # names in a sentence


@dataclass(frozen=True)
class UserSplits:
    """A user's file, by image."""

    path: Path
    split_of: Mapping[str, str]  # image -> split, for those that no folder puts into one
    columns: Mapping[str, Mapping[str, str]]  # further column -> image -> its cell
    left_out: tuple[LeftOut, ...]

    @property
    def has_only_test(self) -> bool:
        """Whether it says what is tested on, and leaves what is trained and validated on open."""
        named = set(self.split_of.values())
        return "test" in named and not {"train", "val"} <= named

    def decided(
        self, images: Iterable[str], unlisted: Unlisted, memory: SplitRecord
    ) -> dict[str, str]:
        """Image -> its split, unless it is to be shared out: where the list has no val, its train.

        Args:
            images: those that no folder puts into a split.
            unlisted: whether the others are left out or shared out.
            memory: how earlier runs shared out what is to be.
        """
        open_splits = {"train", "val"} if self.has_only_test else {"train", "val", "test"}
        found = {i: split for i, split in memory.split_of.items() if split in open_splits}
        fixed = {"val", "test"} | ({"train"} if "val" in self.split_of.values() else set())
        found |= {image: split for image, split in self.split_of.items() if split in fixed}
        if unlisted == "leave_out":
            found |= {image: LEFT_OUT for image in images if image not in self.split_of}
        return found

    def joined(self, index: Index, unlisted: Unlisted) -> Index:
        """The index with the columns of the list, and with what it leaves out.

        Args:
            index: what is split.
            unlisted: whether images that are not listed are left out or shared out.
        """
        columns, left_out, notes = {**index.columns, **self.columns}, self.left_out, index.notes
        others = [
            item.group
            for item in index.splits.get("unsplit", [])
            if item.group not in self.split_of
        ]
        others = list(dict.fromkeys(others))
        if others and unlisted == "leave_out":
            left_out += (LeftOut(f"not listed in {self.path.name}", len(others), others[0]),)
        elif others:
            notes += (f"{len(others)} images that {self.path.name} does not list are shared out",)
        left_out = (*index.left_out, *left_out)
        return dataclasses.replace(index, columns=columns, left_out=left_out, notes=notes)


def read_user_splits(path: Path, index: Index, root: str | None) -> UserSplits:
    """Find the images that a user's file lists.

    Args:
        path: the file.
        index: all that the source found.
        root: absolute folder of the images.

    Raises:
        DataError: it is no list of images and splits; an image does not exist, is not clear, stands
            there twice or lies in a folder of another split.
    """
    listed = read_listed_splits(path)
    items = [item for members in index.splits.values() for item in members]
    folder_of = {i.group: split for split in READY for i in index.splits.get(split, [])}
    line_of: dict[str, int] = {}
    split_of: dict[str, str] = {}
    columns: dict[str, dict[str, str]] = defaultdict(dict)
    missing: list[str] = []
    unread: list[str] = []
    unclear, twice, moved = [], [], []
    for one, images in zip(listed, find_images([one.name for one in listed], items), strict=True):
        image = images[0] if images else ""
        if not images:
            there = root is not None and Path(root, one.name).exists()
            (unread if there else missing).append(one.name)
        elif len(images) > 1:
            unclear.append(f"{one.name} ({' or '.join(images[:SHOWN])})")
        elif line_of.setdefault(image, one.line) != one.line:
            twice.append(f"{one.name} in the lines {line_of[image]} and {one.line}")
        elif one.split and folder_of.get(image, one.split) != one.split:
            moved.append(f"{one.name} is {one.split} there and lies in {folder_of[image]}")
        else:
            for name, cell in one.cells.items():
                columns[name][image] = cell
            if one.split and image not in folder_of:
                split_of[image] = one.split
    _refuse(path, len(listed), missing, "are not in the data; correct these lines or remove them")
    _refuse(path, len(listed), unclear, "could be several; write their folders before the names")
    _refuse(path, len(listed), twice, "stand there twice; keep one line for each")
    _refuse(path, len(listed), moved, "contradict the folders; move the files, or correct the list")
    reason = f"listed in {path.name}, though the source has no use for them"
    left_out = (LeftOut(reason, len(unread), unread[0]),) if unread else ()
    return UserSplits(path, split_of, columns, left_out)


def _refuse(path: Path, total: int, names: Sequence[str], why: str) -> None:
    if names:
        first = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
        raise DataError(f"{len(names)} of the {total} images listed in {path} {why}: {first}.")
