"""What all readers of a tree share: what they leave out, what they note, and how they name it."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from datamodules.errors import DataError, shown
from datamodules.sources.listing import Folder
from datamodules.sources.omissions import Omissions


@dataclass
class Context:
    """One reading of a tree.

    Attributes:
        place: the tree's folder or archive, for messages.
        omissions: where what belongs to no class is counted.
        size_of: the bytes of an image, by its path in the tree.
        chosen: names of classes, if only those are read.
        notes: what could have been understood otherwise, a sentence each.
    """

    place: str
    omissions: Omissions
    size_of: Callable[[str], int]
    chosen: Sequence[str] | None = None
    notes: list[str] = field(default_factory=list)

    def at(self, folder: Folder) -> str:
        """A folder's whole path, to be shown."""
        return self.path(folder.path)

    def path(self, path: str) -> str:
        """The whole path of what lies at `path` in the tree, to be shown."""
        return shown(f"{self.place.rstrip('/')}/{path}" if path else self.place)

    def require_listable(self, folder: Folder) -> None:
        """Refuse a folder that the system does not list.

        Raises:
            DataError: with its path.
        """
        if folder.unlistable:
            raise DataError(
                f"The folder {self.at(folder)} cannot be listed ({folder.unlistable}): get the "
                "right to read it, or leave it out by data.source.exclude."
            )


def listed(names: Collection[str]) -> str:
    """Some names, sorted, the first few of them."""
    first = [shown(name) for name in sorted(names)]
    return ", ".join(first[:5]) + (f" and {len(first) - 5} more" if len(first) > 5 else "")
