"""Where the images lie that an annotation file lists: as it says, or found by their names' ends."""

import itertools
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from datamodules.errors import DataError
from datamodules.sources.coco.coco_file import leads_outside


class FoundImages(NamedTuple):
    """Of listed names: their files, and what had to be done to find them.

    Attributes:
        files: listed name -> path of its file relative to the root, with slashes.
        home: the folder below the root from which most names count; "" is the root.
        by_ends: the names that were found elsewhere than listed, by their ends.
        absent: the names without a file.
        ambiguous: those of them that fit several files, and these files.
    """

    files: dict[str, str]
    home: str
    by_ends: list[str]
    absent: list[str]
    ambiguous: dict[str, list[str]]


def find_images(root: Path, names: Sequence[str], homes: Sequence[str] = ("",)) -> FoundImages:
    """The files of listed images.

    A name counts from that of the `homes` where most names are files. What is not there, and none
    of its folder is, is looked for in the whole root: the file whose path shares most of the
    name's end, if there is one only; backslashes, addresses, somebody's absolute path, `images/`
    and the case of letters then do not matter. Where other names are as listed, a relative one
    must be the whole end of the path, or the path its end. No file is taken for two names.

    Args:
        root: folder of the data set.
        names: normalised names, each once.
        homes: folders below the root from which the names may count, the likeliest first.
    """
    listing = _Listing(root)
    home, there = "", list[str]()
    for place in homes:
        found = [name for name in names if listing.has(place, name)]
        if len(found) > len(there):
            home, there = place, found
        if len(found) == len(names):
            break
    files = {name: _joined(home, name) for name in there}
    settled = {_folder_and_base(name)[0] for name in files}
    lost = [n for n in names if n not in files and _folder_and_base(n)[0] not in settled]
    by_ends, ambiguous = _by_ends(root, lost, set(files.values()), homes) if lost else ({}, {})
    files |= by_ends
    absent = [name for name in names if name not in files]
    return FoundImages(files, home, list(by_ends), absent, ambiguous)


def require_present(
    root: Path, names: Sequence[str], how_to_get: str = "", *, found: FoundImages | None = None
) -> None:
    """Raise `DataError` with the count and the first of those names that are no file.

    Args:
        root: folder of the data set.
        names: normalised names, each once.
        how_to_get: sentence for a user who lacks the images.
        found: where they are, if that is known.
    """
    found = found or find_images(root, names)
    absent = [name for name in names if name not in found.files]
    if not absent:
        return
    fitting = found.ambiguous.get(absent[0], [])
    several = f"{' and '.join(fitting[:3])} fit" if len(fitting) > 1 else "one file fits several"
    shown = f" ({several})" if fitting else ""
    raise DataError(
        f"{len(absent)} of {len(names)} annotated images are not among the files of {root}, first "
        f"{absent[0]!r}{shown}: download them or remove them from the annotations. "
        f"{how_to_get}".strip()
    )


def _by_ends(
    root: Path, names: Iterable[str], taken: set[str], homes: Sequence[str]
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Name -> its file; and name -> the files between which nothing decides."""
    files_of = defaultdict(list)
    for file in _files_below(root):
        if file not in taken:
            files_of[_folded(_folder_and_base(file)[1])].append(file)
    found, ambiguous = {}, {}
    for name in names:
        parts = _parts(name)
        whole = bool(taken) and not leads_outside(name)
        files = files_of.get(_folded(parts[-1]), []) if parts else []
        best = _closest(parts, files, homes, whole=whole)
        if len(best) == 1:
            found[name] = best[0]
        elif best:
            ambiguous[name] = best
    wanted = Counter(found.values())
    for name, file in list(found.items()):
        if wanted[file] > 1:  # of `a/1.jpg` and `b/1.jpg` only one `1.jpg` is left
            ambiguous[name] = [found.pop(name)]
    return found, ambiguous


def _closest(
    parts: Sequence[str], files: Sequence[str], homes: Sequence[str], *, whole: bool
) -> list[str]:
    """The files that share most parts with the end of a name; exact ones before others.

    Args:
        parts: of the name.
        files: relative to the root.
        homes: the folders of files that come before others.
        whole: only of files whose whole path is the end of the name, or the other way round.
    """
    found = {}
    for file in files:
        theirs = file.split("/")
        alike = _shared([*map(_folded, parts)], [*map(_folded, theirs)])
        same = _shared([*map(_composed, parts)], [*map(_composed, theirs)])
        if not whole or alike == min(len(parts), len(theirs)):
            found[file] = alike, same, _folder_and_base(file)[0] in homes
    best = max(found.values(), default=None)
    return [file for file, close in found.items() if close == best]


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """How many parts at the end are the same."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _parts(name: str) -> list[str]:
    """Folders and base name of a path of any system, or of an address, behind the last `..`."""
    if "://" in name:
        name = unquote(urlsplit(name).path)
    parts = [part for part in re.split(r"[\\/]+", name) if part not in ("", os.curdir)]
    while os.pardir in parts:
        del parts[: parts.index(os.pardir) + 1]
    return parts


def _joined(home: str, name: str) -> str:
    return f"{home}/{name}" if home else name


def _folder_and_base(name: str) -> tuple[str, str]:
    folder, _, base = name.rpartition("/")
    return folder, base


def _composed(text: str) -> str:
    """Letters with accents in one way: archives made by macOS take them apart."""
    return unicodedata.normalize("NFC", text)


def _folded(text: str) -> str:
    return _composed(_composed(text).casefold())


def _files_below(root: Path) -> Iterator[str]:
    """Visible files, relative to the root, with slashes."""
    for parent, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        place = os.path.relpath(parent, root).replace(os.sep, "/")
        for name in sorted(files):
            if not name.startswith("."):
                yield name if place == os.curdir else f"{place}/{name}"


class _Listing:
    """The files of folders, each of which is listed once: faster than asking for every file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: dict[str, set[str]] = {}

    def has(self, home: str, name: str) -> bool:
        if leads_outside(name):
            return False
        folder, base = _folder_and_base(_joined(home, name))
        if folder not in self.files:
            self.files[folder] = files_in(self.root / folder)
        return base in self.files[folder]


def files_in(folder: Path) -> set[str]:
    """Names of the files of a folder, and of links to files; none where it is absent.

    Raises:
        DataError: the folder may not be listed.
    """
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if _is_file(entry)}
    except PermissionError:
        raise DataError(
            f"The folder {folder} may not be listed: get the right to read it."
        ) from None
    except (OSError, ValueError):  # absent, or a name that no folder can have
        return set()


def _is_file(entry: os.DirEntry) -> bool:
    try:
        return entry.is_file()
    except OSError:  # links in a circle
        return False
