"""`data.exclude`: images, or boxes of them, that a list leaves out of the data set."""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datamodules.errors import DataError
from datamodules.sources import Box, Index, Item, LeftOut
from datamodules.splits.exclusion_list import Excluded, is_kept, list_path, read_list
from datamodules.splits.image_names import find_images


def leave_out(index: Index, file: Any) -> Index:
    """The index without what a list names; how much that was stands in `left_out` and `notes`.

    Lines whose image is not there are counted, not refused: it may have been deleted meanwhile.

    Args:
        index: what a source found.
        file: the list; None leaves nothing out.

    Raises:
        DataError: the list cannot be read, names no image that is there, or one of several, or
            leaves a class or a split without any.
    """
    if file is None:
        return index
    path = list_path(file)
    listed = read_list(path)
    items = [item for members in index.splits.values() for item in members]
    groups = _groups(listed, items, path)
    boxes: dict[str, set[Box | None]] = defaultdict(set)
    for one, group in zip(listed, groups, strict=True):
        if group is not None:
            boxes[group].add(one.box)
    gone = {(i.group, i.box) for i in items if {None, i.box} & boxes.get(i.group, set())}
    if listed and not gone and not is_kept(path):
        raise DataError(
            f"None of the {len(listed)} images listed in data.exclude={path} is in the data (the "
            f"first: {listed[0].path}): give paths relative to data.root, below a line path,reason "
            "where there is more than one column."
        )
    splits = {
        split: [item for item in members if (item.group, item.box) not in gone]
        for split, members in index.splits.items()
    }
    _refuse_losses(index, splits, path)
    missing = [
        one.path
        for one, group in zip(listed, groups, strict=True)
        if group is None or (one.box is not None and (group, one.box) not in gone)
    ]
    left_out, notes = index.left_out, index.notes
    if gone:
        out = [item for item in items if (item.group, item.box) in gone]
        left_out += (LeftOut(f"listed in {path.name}", len(out), out[0].group),)
    if missing:
        notes += (
            f"{len(missing)} of the {len(listed)} images listed in {path.name} "
            f"{'is' if len(missing) == 1 else 'are'} not there (the first: {missing[0]})",
        )
    return dataclasses.replace(index, splits=splits, left_out=left_out, notes=notes)


def _groups(listed: Sequence[Excluded], items: Sequence[Item], path: Path) -> list[str | None]:
    """The image that each line means; None where there is none."""
    found = find_images([one.path for one in listed], items)
    for one, groups in zip(listed, found, strict=True):
        if len(groups) > 1:
            raise DataError(
                f"{one.path} in data.exclude={path} could be {groups[0]} or {groups[1]}: write "
                "its folder before its name."
            )
    return [groups[0] if groups else None for groups in found]


def _refuse_losses(index: Index, splits: Mapping[str, Sequence[Item]], path: Path) -> None:
    """Refuses a list that takes all images of a class or of a split."""
    before, after = _labels(index.splits), _labels(splits)
    lost = [f"of the class {index.class_names[label]}" for label in sorted(before - after)]
    lost += [
        f"of the {split} split" for split in splits if index.splits[split] and not splits[split]
    ]
    if lost:
        raise DataError(
            f"data.exclude={path} leaves no image {lost[0]}: take some of its lines out of the "
            "list, or remove the class from the data."
        )


def _labels(splits: Mapping[str, Sequence[Item]]) -> set[int]:
    return {item.label for members in splits.values() for item in members if item.label >= 0}
