"""Which images are trained on, validated on and tested on: fractions, folds, or all of them."""

import dataclasses
import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from datamodules.errors import DataError, shown
from datamodules.schema import Flag, Within, declared
from datamodules.sources import Index, Item
from datamodules.splits.exclusion import leave_out
from datamodules.splits.split_file import SplitRecord
from datamodules.splits.split_files import SplitFiles
from datamodules.splits.stratification import groups_per_label, stratified_split

log = logging.getLogger(__name__)

LABELLED = ("train", "val", "test")
SHARED = (*LABELLED, "unsplit")


@declared
class Splits:
    """Turns what a source found into train, val and test.

    Images are split stratified by class, an image with all its boxes to one split. Ready splits
    stay as they are, but for folds and `train_on_all`, which split train and val anew. The result
    is kept in the record of the run, the only authority for whoever reads that run, and in a
    memory that later runs follow.

    Attributes:
        val_fraction: fraction of the validation split, where the source has none.
        test_fraction: fraction of the test split, where the source has none; 0 makes none.
        seed: of the splitting.
        file: a CSV file of image and split; made where it is absent, and followed where it exists.
        num_folds: split train and val into this many folds; None does not.
        fold: which of them, from 0, is the validation split.
        train_on_all: train on the validation split too.
        exclude: a list of images that are left out before; None leaves none out.
        memory: what earlier runs of the same data decided, followed and added to; None keeps none.
        record: of the run or study; followed where it exists, and else made.
        extend: whether images that an existing record lacks are shared out and join it, as in a
            study whose trials leave out different images; else they are left out.
        root: absolute folder of the images, which the files name.

    Raises:
        DataError: fractions, folds or `train_on_all` do not go together.
    """

    place: ClassVar[str] = "data.split"
    keys: ClassVar[dict[str, str]] = {
        name: f"data.{name}" for name in ("num_folds", "fold", "train_on_all", "exclude")
    }

    val_fraction: Annotated[float, Within(0, 1)] = 0.15
    test_fraction: Annotated[float, Within(0, 1)] = 0.15
    seed: Annotated[int, Within(0)] = 0
    file: Any = None
    num_folds: Annotated[int, Within(2)] | None = None
    fold: Annotated[int, Within(0)] | None = None
    train_on_all: Flag = False
    exclude: Any = None
    memory: Path | None = None
    record: Path | None = None
    extend: Flag = False
    root: str | None = None

    def __post_init__(self) -> None:
        self._check_fractions()
        if self.fold is not None or self.num_folds is not None:
            self._check_folds()
        self.file = None if self.file is None else Path(self.file)

    def _check_fractions(self) -> None:
        val, test = self.val_fraction, self.test_fraction
        if min(1 - val - test, val) <= 0:
            raise DataError(
                f"data.split.val_fraction={val} and data.split.test_fraction={test} leave a split "
                "empty: give val more than 0 and both together less than 1."
            )

    def _check_folds(self) -> None:
        fold, num_folds = self.fold, self.num_folds
        if fold is None or num_folds is None:
            raise DataError(
                f"data.fold={fold} and data.num_folds={num_folds}: give both, as in data.fold=0 "
                "data.num_folds=5, or neither."
            )
        if fold >= num_folds:
            raise DataError(
                f"data.fold={fold} is not one of data.num_folds={num_folds} folds, which are "
                "numbered from 0."
            )
        if self.train_on_all:
            raise DataError(
                f"data.train_on_all=true and data.fold={fold} exclude each other: the fold would "
                "be trained on; keep one of them."
            )

    def apply(self, index: Index, *, write: bool = False) -> Index:
        """The index with train, val and, where there is one, test.

        Args:
            index: what the source found; the order of its items is kept.
            write: write the record and the memory where they lack images, and say what cannot be
                split.

        Raises:
            DataError: a split would stay empty, or a file is not a list of splits.
        """
        index = leave_out(index, self.exclude)
        if not {"train", "unsplit"} & index.splits.keys():
            found = " and ".join(sorted(index.splits)) or "no"
            raise DataError(
                f"There are {found} images and none to train on: add a folder train/ beside them, "
                "or evaluate a finished run on them with scripts/evaluate.py."
            )
        files = SplitFiles(self.file, self.memory, self.record, extend=self.extend, root=self.root)
        decided = files.read()
        images = _images(index)
        shared = self._share_out(index, decided, closed=files.is_closed, write=write)
        split_of = _ready(index) | shared
        if files.is_closed:
            split_of = {i: decided.split_of[i] for i in images if i in decided.split_of}
            if not split_of:
                raise DataError(
                    f"None of the images is in {self.record}, which says how the run split them: "
                    f"give the folder that they are in now with data.root (it was {decided.root})."
                )
        splits = _by_split(index, split_of)
        fold_of = {}
        if self.num_folds is not None:
            items = pool(splits)
            fold_of[self.num_folds] = self._share_out_folds(index, items, decided, write=write)
            splits |= _of_fold(items, fold_of[self.num_folds], str(self.fold))
        if write:
            files.write(SplitRecord(split_of, fold_of), shared.keys())
        if self.train_on_all:
            splits["train"] = pool(splits)
            if write:
                log.warning(
                    "data.train_on_all: the validation images are trained on too, so val/* says "
                    "nothing of new images."
                )
        new, gone = files.changes(images)
        if write and (new or gone):
            _tell_changes(new, gone)
        return dataclasses.replace(index, splits=splits, new=new, gone=gone)

    def _share_out(
        self, index: Index, decided: SplitRecord, *, closed: bool, write: bool
    ) -> dict[str, str]:
        """Image -> split, for the images that no folder puts into one.

        What is decided stays; unless the record is closed, the rest is shared out.
        """
        items = index.splits.get("unsplit", [])
        known = {i.group: decided.split_of[i.group] for i in items if i.group in decided.split_of}
        if closed or not items:
            return known
        test = 0 if "test" in index.splits else self.test_fraction
        fractions = {"train": 1 - self.val_fraction - test, "val": self.val_fraction, "test": test}
        fractions = {split: part for split, part in fractions.items() if part > 0}
        free = [item for item in items if known.get(item.group, "train") in fractions]
        found = known | self._assign(index, free, fractions, known, write=write)
        for split in fractions:
            if split not in found.values():
                raise DataError(
                    f"{len(items)} pictures in {len(found)} images are too few for a "
                    f"{split} split: add images or change the fractions in data.split."
                )
        return found

    def _share_out_folds(
        self, index: Index, items: list[Item], decided: SplitRecord, *, write: bool
    ) -> dict[str, str]:
        """Image -> its fold, for what is trained and validated on."""
        count = self.num_folds or 0
        images = len({item.group for item in items})
        if images < count:
            raise DataError(f"data.num_folds={count} is more than the {images} images there are.")
        known = decided.fold_of.get(count, {})
        fractions = {str(n): 1 / count for n in range(count)}
        return self._assign(index, items, fractions, known, write=write)

    def _assign(
        self,
        index: Index,
        items: Sequence[Item],
        fractions: Mapping[str, float],
        known: Mapping[str, str],
        *,
        write: bool,
    ) -> dict[str, str]:
        """Image -> one of the splits: as it is known, and else stratified."""
        groups = _groups(items)
        if write:
            _warn_of_rare_classes(index.class_names, groups, parts=max(2, self.num_folds or 0))
        return stratified_split(groups, fractions, self.seed, known=known)


def _images(index: Index) -> set[str]:
    """All that are trained, validated or tested on."""
    return {item.group for name in SHARED for item in index.splits.get(name, [])}


def _ready(index: Index) -> dict[str, str]:
    """Image -> split, for what lies in folders of splits; training first."""
    ready = {name: index.splits.get(name, []) for name in reversed(LABELLED)}
    return {item.group: name for name, items in ready.items() for item in items}


def _by_split(index: Index, split_of: Mapping[str, str]) -> dict[str, list[Item]]:
    """Split -> its items in the order of the index; what is not labelled stays."""
    found = {name: items for name, items in index.splits.items() if name not in SHARED}
    for split in LABELLED:
        members = [
            item
            for name in SHARED
            for item in index.splits.get(name, [])
            if split_of.get(item.group) == split
        ]
        if members:
            found[split] = members
    return found


def _of_fold(items: list[Item], fold_of: Mapping[str, str], fold: str) -> dict[str, list[Item]]:
    return {
        "train": [item for item in items if fold_of[item.group] != fold],
        "val": [item for item in items if fold_of[item.group] == fold],
    }


def _tell_changes(new: Sequence[str], gone: Sequence[str]) -> None:
    joined = f"{len(new)} images joined and are left out (the first: {new[0]})" if new else ""
    went = f"{len(gone)} of its images are gone (the first: {gone[0]})" if gone else ""
    log.warning("Since this run: %s.", shown(", and ".join(filter(None, (joined, went)))))


def pool(splits: Mapping[str, list[Item]]) -> list[Item]:
    """The items of train and val, in an order that does not depend on how they are split."""
    return sorted(
        [*splits.get("train", []), *splits.get("val", [])], key=lambda i: (i.group, i.path)
    )


def _groups(items: Sequence[Item]) -> dict[str, Counter[int]]:
    groups: dict[str, Counter[int]] = defaultdict(Counter)
    for item in items:
        groups[item.group][item.label] += 1
    return groups


def _warn_of_rare_classes(
    class_names: Sequence[str], groups: Mapping[str, Counter[int]], *, parts: int
) -> None:
    found = groups_per_label(groups)
    rare = [f"{class_names[c]} ({found[c]})" for c in sorted(found) if found[c] < parts]
    if rare:
        log.warning(
            "Classes with fewer than %d images cannot be split and are missing on one side: %s; "
            "add images, or leave them out.",
            parts,
            ", ".join(rare),
        )
