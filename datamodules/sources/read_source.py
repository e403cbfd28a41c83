"""A source that was read already, as when its index was changed before it is used."""

from dataclasses import dataclass

from datamodules.sources.source import Index


@dataclass(frozen=True)
class ReadSource:
    """What was found, as a source: nothing is left to make or to read.

    Attributes:
        index: what it gives.
    """

    index: Index
    is_made = True

    def check(self) -> tuple[str, ...]:
        """The class names."""
        return self.index.class_names

    def prepare(self) -> None:
        """Nothing to make."""

    def read(self) -> Index:
        """The index, as it is."""
        return self.index
