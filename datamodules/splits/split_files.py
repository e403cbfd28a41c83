"""The files that a split is read from and kept in: the user's, the memory, the run's record."""

import dataclasses
import logging
from collections.abc import Collection
from pathlib import Path

from datamodules.splits.split_file import (
    LEFT_OUT,
    SplitRecord,
    is_record,
    read_listed_splits,
    read_memory,
    read_split_file,
    write_split_file,
)

log = logging.getLogger(__name__)


class SplitFiles:
    """What the files say of images, and where a new split is written.

    Args:
        file: the user's; written only where it is absent or was made by us.
        memory: what later runs of the same data follow.
        record: of the run or study.
        extend: whether images may join a record that exists.
        root: absolute folder of the images.

    Attributes:
        is_closed: whether a record says all, so that images it lacks are left out.

    Raises:
        DataError: a file is not a list of splits.
    """

    def __init__(
        self,
        file: Path | None,
        memory: Path | None,
        record: Path | None,
        *,
        extend: bool,
        root: str | None,
    ) -> None:
        exists = record is not None and record.exists()
        self.recorded = read_split_file(record) if record and exists else None
        self.is_closed = exists and not extend
        self.listed = SplitRecord()
        self.memory = memory
        self.record = record
        self.root = root
        if file is not None and not self.is_closed:
            self._read_listed(file)

    def _read_listed(self, file: Path) -> None:
        if not file.exists():
            self.memory = file
        elif not is_record(file):
            self.listed = SplitRecord(read_listed_splits(file))
        else:
            self.listed = read_split_file(file)
            self.memory = self.memory if self.listed.of_run else file

    def read(self) -> SplitRecord:
        """What is decided already: the record before the user's file before the memory."""
        if self.recorded is not None and self.is_closed:
            return self.recorded
        memory = read_memory(self.memory) if self.memory else SplitRecord()
        return memory.updated(self.listed).updated(self.recorded or SplitRecord())

    def write(self, found: SplitRecord, shared: Collection[str]) -> None:
        """Write the record and the memory where they lack something.

        Args:
            found: of all images.
            shared: those that no folder puts into a split: only they are remembered, as the
                folders are the user's, and may hold other images next time.
        """
        if self.is_closed:
            return
        if self.record is not None:
            whole = (self.recorded or SplitRecord()).updated(found)
            whole = dataclasses.replace(whole, root=self.root, of_run=True)
            if whole != self.recorded:
                write_split_file(self.record, whole)
        if self.memory is not None:
            before = read_memory(self.memory)
            split_of = {image: found.split_of[image] for image in shared}
            after = before.updated(SplitRecord(split_of, found.fold_of))
            if after != before:
                write_split_file(self.memory, dataclasses.replace(after, root=self.root))
                if before.split_of and split_of.keys() - before.split_of.keys():
                    log.info("New images were added to the splits in %s.", self.memory)

    def changes(self, images: Collection[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Images that the record of this run lacks, and those of it that are gone.

        Args:
            images: all that are there.
        """
        if self.recorded is None or not self.is_closed:
            return (), ()
        known = self.recorded.split_of
        gone = {image for image, split in known.items() if split != LEFT_OUT} - set(images)
        return tuple(sorted(set(images) - known.keys())), tuple(sorted(gone))
