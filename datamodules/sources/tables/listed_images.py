"""Finding the files that a table lists, however their paths are written."""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from datamodules.sources.image_folder import image_files
from datamodules.sources.split_names import split_called


class Ambiguous(Exception):
    """Several files could be meant; the text names two of them."""


class ListedImages:
    """Finds images by what a table says.

    A path is taken as it stands, from the table's folder or from the root. What is not there is
    searched for below the root: by the end of its path, in any case, with or without its suffix,
    and taken where only one file can be meant.

    Args:
        root: the folder of the images.

    Attributes:
        searched: what was listed -> the file that was found for it, where the two differ.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.searched: dict[str, str] = {}

    def find(self, listed: str, *, beside: Path, split: str | None, encoding: str) -> str | None:
        """The path of the file, or None.

        Args:
            listed: as the table says it.
            beside: the folder of the table.
            split: the split it is listed for, which decides between folders of splits.
            encoding: of the table: names on disk may be the same bytes and no UTF-8.

        Raises:
            Ambiguous: several files could be meant.
        """
        name = re.sub(r"^[A-Za-z]:(?=[\\/])", "", listed).replace("\\", "/")
        name = str(Path(name).expanduser()) if name.startswith("~/") else name
        as_bytes = listed.encode(encoding, "replace").decode("utf-8", "surrogateescape")
        for base in (beside, self.root):
            for path in dict.fromkeys((listed, name, as_bytes)):
                whole = os.path.normpath(base / path)
                if Path(whole).is_file():
                    return whole
        found = self._search(name, split)
        if found is not None:
            self.searched[listed] = found
        return found

    def _search(self, name: str, split: str | None) -> str | None:
        parts = [p for p in PurePosixPath(name).parts if p not in ("/", ".", "..")]
        if not parts:
            return None
        paths = self._by_name.get(parts[-1].casefold()) or self._by_stem.get(parts[-1].casefold())
        candidates = [PurePosixPath(path) for path in paths or ()]
        candidates = [c for c in candidates if self._can_be(c, parts)]
        candidates = _best(candidates, lambda c: _common(c, parts))
        candidates = _best(candidates, lambda c: split in map(split_called, c.parts[:-1]))
        candidates = _best(candidates, lambda c: parts[-1] in (c.name, c.stem))
        if len(candidates) > 1:
            raise Ambiguous(f"{candidates[0]} and {candidates[1]}")
        return str(self.root / candidates[0]) if candidates else None

    def _can_be(self, candidate: PurePosixPath, parts: Sequence[str]) -> bool:
        """Whether nothing in the listed path speaks against a file.

        Its leading folders may be those of another machine, and not such as lie below the root
        beside the file's own; nor is a file of another split's folder taken.
        """
        own = [part.casefold() for part in candidate.parts[:-1]]
        common = _common(candidate, parts)
        leading = parts[: len(parts) - 1 - common]
        if any(part.casefold() in self._folders and part.casefold() not in own for part in leading):
            return False
        wanted = set(map(split_called, leading)) - {None}
        theirs = set(map(split_called, own)) - {None}
        return not (wanted and theirs) or bool(wanted & theirs)

    @cached_property
    def _all(self) -> list[str]:
        paths = (Path(path).relative_to(self.root).as_posix() for path in image_files(self.root))
        return sorted(paths)

    @cached_property
    def _folders(self) -> set[str]:
        """The names of all folders with images, and of those above them, in small letters."""
        return {part.casefold() for path in self._all for part in PurePosixPath(path).parts[:-1]}

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        return _grouped(self._all, os.path.basename)

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        return _grouped(self._all, lambda path: PurePosixPath(path).stem)


def _grouped(paths: Iterable[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        found[key(path).casefold()].append(path)
    return dict(found)


def _common(path: PurePosixPath, parts: Sequence[str]) -> int:
    """How many folders above the file are the listed ones."""
    pairs = zip(path.parts[-2::-1], parts[-2::-1], strict=False)
    count = 0
    for own, listed in pairs:
        if own.casefold() != listed.casefold():
            break
        count += 1
    return count


def _best(
    candidates: list[PurePosixPath], rank: Callable[[PurePosixPath], int]
) -> list[PurePosixPath]:
    highest = max(map(rank, candidates), default=0)
    return [c for c in candidates if rank(c) == highest]
