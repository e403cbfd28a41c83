"""Which images are trained on, validated on and tested on: fractions, folds, or all of them."""

import dataclasses
import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from datamodules.errors import DataError
from datamodules.schema import Flag, Within, declared
from datamodules.sources import Index, Item
from datamodules.splits.exclusion import leave_out
from datamodules.splits.split_file import read_split_file, write_split_file
from datamodules.splits.stratification import groups_per_label, stratified_split

log = logging.getLogger(__name__)


@declared
class Splits:
    """Turns what a source found into train, val and test.

    Images are split stratified by class, an image with all its boxes to one split, and the
    result is kept in a file that later runs follow. Ready splits stay as they are, but for folds
    and `train_on_all`, which split train and val anew.

    Attributes:
        val_fraction: fraction of the validation split, where the source has none.
        test_fraction: fraction of the test split, where the source has none; 0 makes none.
        seed: of the splitting.
        file: a CSV file of image and split; made where it is absent, and followed where it exists.
        num_folds: split train and val into this many folds; None does not.
        fold: which of them, from 0, is the validation split.
        train_on_all: train on the validation split too.
        exclude: a list of images that are left out before; None leaves none out.

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
            write: write the file where it lacks images, and say what cannot be split.

        Raises:
            DataError: a split would stay empty, or the file is not a list of splits.
        """
        index = leave_out(index, self.exclude)
        splits = dict(index.splits)
        unsplit = splits.pop("unsplit", [])
        if unsplit:
            splits = {**self._assign_unsplit(index, unsplit, ready=splits, write=write), **splits}
        if self.num_folds is not None:
            splits = {**splits, **self._folds(index, splits, self.num_folds, write=write)}
        if self.train_on_all:
            splits["train"] = pool(splits)
            if write:
                log.warning(
                    "data.train_on_all: the validation images are trained on too, so val/* says "
                    "nothing of new images."
                )
        return dataclasses.replace(index, splits=splits)

    def _assign_unsplit(
        self, index: Index, items: list[Item], *, ready: Mapping[str, list[Item]], write: bool
    ) -> dict[str, list[Item]]:
        """`train`, `val` and, unless it is ready, `test`."""
        test = 0 if "test" in ready else self.test_fraction
        fractions = {"train": 1 - self.val_fraction - test, "val": self.val_fraction, "test": test}
        fractions = {split: part for split, part in fractions.items() if part > 0}
        split_of = self._assign(index, items, fractions, self.file, write=write)
        found = {split: [i for i in items if split_of[i.group] == split] for split in fractions}
        for split, members in found.items():
            if not members:
                raise DataError(
                    f"{len(items)} pictures in {len(set(split_of))} images are too few for a "
                    f"{split} split: add images or change the fractions in data.split."
                )
        return found

    def _folds(
        self, index: Index, splits: Mapping[str, list[Item]], count: int, *, write: bool
    ) -> dict[str, list[Item]]:
        """`train` and `val` of the chosen one of `count` folds."""
        items = pool(splits)
        images = len({item.group for item in items})
        if images < count:
            raise DataError(f"data.num_folds={count} is more than the {images} images there are.")
        fractions = {str(n): 1 / count for n in range(count)}
        file = self.file and self.file.with_name(f"{self.file.stem}_{count}_folds.csv")
        fold_of = self._assign(index, items, fractions, file, write=write)
        return {
            "train": [item for item in items if fold_of[item.group] != str(self.fold)],
            "val": [item for item in items if fold_of[item.group] == str(self.fold)],
        }

    def _assign(
        self,
        index: Index,
        items: Sequence[Item],
        fractions: Mapping[str, float],
        file: Path | None,
        *,
        write: bool,
    ) -> dict[str, str]:
        """Image -> one of the splits: as the file says, and stratified where it says nothing."""
        groups = _groups(items)
        known = read_split_file(file, tuple(fractions)) if file else {}
        found = stratified_split(groups, fractions, self.seed, known=known)
        if write:
            _warn_of_rare_classes(index.class_names, groups, parts=max(2, self.num_folds or 0))
            if file and found.keys() - known.keys():
                write_split_file(file, {**known, **found}, new=bool(known))
        return found


def pool(splits: Mapping[str, list[Item]]) -> list[Item]:
    """The items of train and val, in an order that does not depend on how they are split."""
    return sorted([*splits["train"], *splits["val"]], key=lambda i: (i.group, i.path))


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
