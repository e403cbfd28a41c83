"""Which images are trained on, validated on and tested on: fractions, folds, or all of them."""

import contextlib
import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from datamodules.errors import DataError, shown
from datamodules.files import home_expanded
from datamodules.schema import Flag, Within, declared
from datamodules.sources import Index, Item
from datamodules.splits.arrangement import (
    by_fold,
    by_split,
    images_of,
    labelled,
    pool,
    ready_splits,
)
from datamodules.splits.exclusion import leave_out
from datamodules.splits.grouping import FindCopies, Grouping
from datamodules.splits.kept_splits import KeptSplits
from datamodules.splits.sharing import share_out, tell_missing_classes
from datamodules.splits.split_file import LEFT_OUT, SplitRecord
from datamodules.splits.user_splits import Unlisted, UserSplits

log = logging.getLogger(__name__)


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
        file: a CSV file of image and split: the user's own, which is only read, or one of ours,
            which is made where it is absent and added to.
        unlisted: whether images that a user's file does not list are left out or shared out.
        groups: what stays together where images are shared out: `auto` copies of one original,
            `none` nothing, else what a column of a table or a regular expression on the path says.
        num_folds: split train and val into this many folds; None does not.
        fold: which of them, from 0, is the validation split.
        train_on_all: train on the validation split too.
        exclude: a list of images that are left out before; None leaves none out.
        memory: what earlier runs of the same data decided, followed and added to; None keeps none.
        record: of the run or study; followed where it exists, and else made.
        record_key: what the record is made for; kept in it.
        root: absolute folder of the images; kept in what is written.

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
    unlisted: Unlisted = "leave_out"
    groups: Any = "auto"
    num_folds: Annotated[int, Within(2)] | None = None
    fold: Annotated[int, Within(0)] | None = None
    train_on_all: Flag = False
    exclude: Any = None
    memory: Path | None = None
    record: Path | None = None
    record_key: str | None = None
    root: str | None = None

    def __post_init__(self) -> None:
        self._check_fractions()
        if self.fold is not None or self.num_folds is not None:
            self._check_folds()
        if self.file is not None and not isinstance(self.file, str | Path):
            raise DataError(f"data.split.file={self.file} is not allowed; give the path of a CSV.")
        self.file = None if self.file is None else Path(home_expanded(self.file))
        self.groups = "none" if self.groups is None else str(self.groups)

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

    def apply(
        self, index: Index, *, write: bool = False, find_copies: FindCopies | None = None
    ) -> Index:
        """The index with train, val and, where there is one, test.

        Args:
            index: what the source found; the order of its items is kept.
            write: write the record and the memory where they lack images, and say what cannot be
                split.
            find_copies: finds groups of images that look alike, image -> name of its group; called
                once, and only where images are shared out. None compares names only.

        Raises:
            DataError: a split would stay empty, or a file is not a list of splits.
        """
        whole, index = index, leave_out(index, self.exclude)
        kept = KeptSplits(self.file, self.memory, self.record, root=self.root, key=self.record_key)
        if kept.recorded is not None:
            index = self._follow(index, kept.recorded, whole, write=write)
        else:
            _refuse_untrainable(index)
            user = kept.user_splits(whole)
            index = user.joined(index, self.unlisted) if user else index
            about, free = (labelled(index), index.columns), self._free(index)
            grouping = Grouping(self.groups, *about, free, find_copies)
            index = dataclasses.replace(index, related=grouping.related)
            index = self._share_out(index, kept, user, grouping, write=write)
            if write:
                kept.tell_gone(images_of(labelled(whole)))
        return self._pooled(index, write=write)

    def _free(self, index: Index) -> list[Item]:
        """What no folder, or none that counts for folds, puts into a split."""
        names = ("unsplit",) if self.num_folds is None else ("unsplit", "train", "val")
        return [item for name in names for item in index.splits.get(name, [])]

    def _follow(self, index: Index, record: SplitRecord, whole: Index, *, write: bool) -> Index:
        """The index as the record of its run says; `whole` has what `exclude` leaves out."""
        images = images_of(labelled(index))
        split_of = {image: record.split_of[image] for image in images & record.split_of.keys()}
        if not split_of:
            raise DataError(
                f"None of the images is in {self.record}, which says how the run split them: give "
                f"the folder that they are in now with data.root (it was {record.root})."
            )
        new = tuple(sorted(images - split_of.keys()))
        used = {image for image, split in record.split_of.items() if split != LEFT_OUT}
        gone = tuple(sorted(used - images_of(labelled(whole))))
        if write and (new or gone):
            _tell_changes(new, gone)
        splits = by_split(index, split_of)
        if self.num_folds is not None:
            items = pool(splits)
            splits |= by_fold(items, self._folds(items, record.fold_of), str(self.fold))
        index = dataclasses.replace(index, splits=splits, new=new, gone=gone)
        with contextlib.suppress(DataError):  # a column may be one of the user's list
            related = Grouping(self.groups, labelled(index), index.columns).related
            index = dataclasses.replace(index, related=related)
        return index

    def _share_out(
        self,
        index: Index,
        kept: KeptSplits,
        user: UserSplits | None,
        grouping: Grouping,
        *,
        write: bool,
    ) -> Index:
        """The index as the user says, as earlier runs did, and else split anew."""
        memory = kept.remembered()
        unsplit = index.splits.get("unsplit", [])
        images = images_of(unsplit)
        known = user.decided(images, self.unlisted, memory) if user else dict(memory.split_of)
        known = {image: known[image] for image in images & known.keys()}
        split_of = ready_splits(index) | self._assign(index, unsplit, known, user, grouping)
        splits = by_split(index, split_of)
        fold_of = {}
        if self.num_folds is not None:
            items, decided = pool(splits), memory
            fold_of = {self.num_folds: self._folds(items, decided.fold_of, grouping)}
            splits |= by_fold(items, fold_of[self.num_folds], str(self.fold))
        if write:
            listed = user.split_of.keys() if user else set()
            shared = {i for i in images - listed if split_of[i] != LEFT_OUT}
            kept.write(SplitRecord(split_of, fold_of), shared)
            grouping.tell()
            if unsplit or fold_of:
                tell_missing_classes(index.class_names, splits)
        return dataclasses.replace(index, splits=splits)

    def _assign(
        self,
        index: Index,
        items: Sequence[Item],
        known: dict[str, str],
        user: UserSplits | None,
        grouping: Grouping,
    ) -> dict[str, str]:
        """Image -> split, for images that no folder puts into one; what is known stays."""
        if not items:
            return {}
        ready = "test" in index.splits or (user is not None and user.has_only_test)
        test = 0 if ready else self.test_fraction
        fractions = {"train": 1 - self.val_fraction - test, "val": self.val_fraction, "test": test}
        fractions = {split: part for split, part in fractions.items() if part > 0}
        required, found = ["train", "val"], known
        if images_of(items) - known.keys():
            free = [item for item in items if known.get(item.group, "train") in fractions]
            found = known | share_out(
                free, fractions, self.seed, known=known, copies=grouping.group_of
            )
            required = list(fractions)
        for split in required:
            if split not in found.values():
                raise DataError(
                    f"{len(items)} pictures in {len(found)} images are too few for a "
                    f"{split} split: add images or change the fractions in data.split."
                )
        return found

    def _folds(
        self,
        items: Sequence[Item],
        known: Mapping[int, Mapping[str, str]],
        grouping: Grouping | None = None,
    ) -> dict[str, str]:
        """Image -> its fold, for what is trained and validated on; what is known stays."""
        count, images = self.num_folds or 0, images_of(items)
        if len(images) < count:
            raise DataError(
                f"data.num_folds={count} is more than the {len(images)} images there are."
            )
        found = {i: fold for i, fold in known.get(count, {}).items() if i in images}
        if images - found.keys():
            fractions = {str(n): 1 / count for n in range(count)}
            copies = grouping.group_of if grouping else {}
            found = share_out(items, fractions, self.seed, known=found, copies=copies)
        return found

    def _pooled(self, index: Index, *, write: bool) -> Index:
        """The index in which, if it is wanted, the validation images are trained on too."""
        if not self.train_on_all:
            return index
        if write:
            log.warning(
                "data.train_on_all: the validation images are trained on too, so val/* says "
                "nothing of new images."
            )
        return dataclasses.replace(index, splits={**index.splits, "train": pool(index.splits)})


def _refuse_untrainable(index: Index) -> None:
    if not {"train", "unsplit"} & index.splits.keys():
        found = " and ".join(sorted(index.splits)) or "no"
        raise DataError(
            f"There are {found} images and none to train on: add a folder train/ beside them, or "
            "evaluate a finished run on them with scripts/evaluate.py."
        )


def _tell_changes(new: Sequence[str], gone: Sequence[str]) -> None:
    said = []
    if new:
        images = "1 image joined and is" if len(new) == 1 else f"{len(new)} images joined and are"
        said.append(f"{images} left out (the first: {new[0]})")
    if gone:
        are = "is" if len(gone) == 1 else "are"
        said.append(f"{len(gone)} of its images {are} gone (the first: {gone[0]})")
    log.warning("Since this run: %s.", shown(", and ".join(said)))
