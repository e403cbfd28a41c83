"""Files that an annotation file lists: their names must stay inside the root, and be there."""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from datamodules.errors import DataError


def inside_root(path: Path, names: Sequence[str]) -> list[str]:
    """The names normalised ("a/./b.jpg" is "a/b.jpg").

    Raises:
        DataError: a name that `path` lists is no file name, or leads out of the root.
    """
    normalised = []
    for number, name in enumerate(names):
        clean = os.path.normpath(name)
        if clean == os.curdir:
            raise DataError(f"{path}: entry {number} of 'images' names a folder, {name!r}.")
        if Path(clean).is_absolute() or Path(clean).parts[0] == os.pardir:
            raise DataError(
                f"{path} lists the image {name!r}, which is outside its folder: list the images "
                "relative to data.root."
            )
        normalised.append(clean)
    return normalised


def require_present(root: Path, names: Iterable[str], how_to_get: str = "") -> None:
    """Raise `DataError` with the count and the first of those names that are no file in `root`.

    Each folder is listed once, which is several times faster than asking for every file.
    """
    folders: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name in names:
        folder, base = os.path.split(name)
        folders[folder].append((base, name))
    absent = []
    for folder, files in folders.items():
        present = _files_in(root / folder)
        absent += [name for base, name in files if base not in present]
    if absent:
        count = sum(map(len, folders.values()))
        raise DataError(
            f"{len(absent)} of {count} annotated images are not among the files of {root}, first "
            f"{absent[0]!r}: download them or remove them from the annotations. "
            f"{how_to_get}".strip()
        )


def _files_in(folder: Path) -> set[str]:
    """Names of the files of a folder, and of links to files; none where it is absent."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if _is_file(entry)}
    except PermissionError:
        raise DataError(
            f"The folder {folder} may not be listed: get the right to read it."
        ) from None
    except OSError:
        return set()


def _is_file(entry: os.DirEntry) -> bool:
    try:
        return entry.is_file()
    except OSError:  # links in a circle
        return False
