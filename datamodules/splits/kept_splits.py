"""The files that a split is read from and kept in: the user's, the memory, the run's record."""

import dataclasses
import logging
from collections.abc import Collection
from pathlib import Path

from datamodules.errors import shown
from datamodules.sources import Index
from datamodules.splits.split_file import (
    SplitRecord,
    is_record,
    read_memory,
    read_split_file,
    write_split_file,
)
from datamodules.splits.user_splits import UserSplits, read_user_splits

log = logging.getLogger(__name__)


class KeptSplits:
    """What the files say of images, and where a new split is written.

    Args:
        file: the user's; written only where it is absent or was made by us.
        memory: what later runs of the same data follow.
        record: of the run or study.
        root: absolute folder of the images.
        key: what the record was made for, as its caller says.

    Attributes:
        user_file: the user's, where it is none of ours.
        recorded: the record, which says all: images it lacks are left out; None where there is none
            yet.

    Raises:
        DataError: a file of ours is damaged.
    """

    def __init__(
        self,
        file: Path | None,
        memory: Path | None,
        record: Path | None,
        *,
        root: str | None,
        key: str | None,
    ) -> None:
        self.memory = memory
        self.record = record
        self.root, self.key = root, key
        exists = record is not None and record.exists()
        self.recorded = read_split_file(record) if record and exists else None
        self.user_file: Path | None = None
        self._other = SplitRecord()  # of another run
        if file is not None and self.recorded is None:
            self._open(file)

    def _open(self, file: Path) -> None:
        if not file.exists():
            self.memory = file
        elif not is_record(file):
            self.user_file = file
        elif (kept := read_split_file(file)).of_run:
            self._other = kept
        else:
            self.memory = file

    def user_splits(self, index: Index) -> UserSplits | None:
        """What the user's own file says of the images; None where there is none.

        Args:
            index: all that the source found.

        Raises:
            DataError: it is no list of images and splits that there are.
        """
        if self.user_file is None:
            return None
        return read_user_splits(self.user_file, index, self.root)

    def remembered(self) -> SplitRecord:
        """What earlier runs decided.

        Raises:
            DataError: the memory is damaged.
        """
        memory = read_memory(self.memory) if self.memory else SplitRecord()
        return memory.updated(self._other)

    def write(self, found: SplitRecord, shared: Collection[str]) -> None:
        """Write the record and the memory where they lack something.

        Args:
            found: of all images.
            shared: those that no folder and no user's file puts into a split: only they are
                remembered, as the folders may hold other images next time.

        Raises:
            DataError: a file cannot be written.
        """
        if self.record is not None:
            kept = dataclasses.replace(found, root=self.root, key=self.key, of_run=True)
            write_split_file(self.record, kept)
        if self.memory is not None:
            before = read_memory(self.memory)
            split_of = {image: found.split_of[image] for image in shared}
            after = before.updated(SplitRecord(split_of, found.fold_of))
            if after != before:
                write_split_file(self.memory, dataclasses.replace(after, root=self.root))
            if before.split_of and split_of.keys() - before.split_of.keys():
                log.info("New images were added to the splits in %s.", self.memory)

    def tell_gone(self, there: Collection[str]) -> None:
        """Say how many of the images that earlier runs split are not there any more.

        Args:
            there: all images of the source.
        """
        if gone := self.remembered().split_of.keys() - set(there):
            text = "%d images of the splits in %s are gone (the first: %s)."
            log.info(text, len(gone), self.memory, shown(min(gone)))
