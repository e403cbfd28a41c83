"""What splits an index, and the simplest of it: splits that are ready, to be measured on."""

from typing import Protocol

from datamodules.sources import Index
from datamodules.splits.grouping import FindCopies


class Splitter(Protocol):
    """Says which images are trained, validated and tested on; `Splits` is one."""

    @property
    def num_folds(self) -> int | None:
        """Of a cross-validation, whose folds share their images; None where there is none."""

    def apply(
        self, index: Index, *, write: bool = False, find_copies: FindCopies | None = None
    ) -> Index:
        """The index in its splits; see `Splits.apply`."""


class ReadySplits:
    """Leaves an index as it is, with whatever splits it has; none of them need be `train`."""

    num_folds = None

    def apply(
        self, index: Index, *, write: bool = False, find_copies: FindCopies | None = None
    ) -> Index:
        """The index itself."""
        return index
