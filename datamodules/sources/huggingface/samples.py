"""What is read from stored data sets, whatever they are stored in."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

from datamodules.sources.source import LeftOut


class Sample(NamedTuple):
    """An image and what is said of it.

    Attributes:
        name: of the image, where it has one; may hold folders.
        content: its encoded bytes; None where only `path` says where it is.
        path: of its file; relative ones are looked for beside the data set.
        label: number of a class whose name is known, else the class as text; None where unknown.
    """

    name: str
    content: bytes | None
    path: str | None
    label: int | str | None


class StoredSamples(Protocol):
    """Reads the samples of some splits."""

    class_names: tuple[str, ...] | None  # of labels that are numbers, where the files say them
    left_out: tuple[LeftOut, ...]  # filled by `samples`
    notes: tuple[str, ...]

    def counts(self) -> Mapping[str, int]:
        """How many samples each split has."""

    def labels(self, split: str) -> list[int | str | None]:
        """The labels alone, which is much faster."""

    def samples(self, split: str) -> Iterator[Sample]:
        """All samples, in their order."""
