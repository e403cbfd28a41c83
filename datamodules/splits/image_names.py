"""Which images a person means: names in a list, written in whatever way, and their groups."""

import posixpath
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from datamodules.sources import Item


def match_images(names: Sequence[str], items: Iterable[Item]) -> list[str | None]:
    """For each name the group of the image that it means; None where that is none, or not clear.

    Args:
        names: as they are written, which `find_images` explains.
        items: what there is.
    """
    return [found[0] if len(found) == 1 else None for found in find_images(names, items)]


def find_images(names: Sequence[str], items: Iterable[Item]) -> list[list[str]]:
    """For each name the groups of the images that it may mean: none, the one, or several.

    A name may be the group itself, begin with `./` or with folders above the root (also of another
    machine), lack its first folders, have backslashes, another case, another composition of its
    accents, or no suffix.

    Args:
        names: as they are written.
        items: what there is.
    """
    groups = dict.fromkeys(item.group for item in items)
    found = {name: [name] if name in groups else [] for name in names}
    for change, change_group in ((str, str), (_folded, _folded), (_folded, _without_suffix)):
        by_file = _by_file(groups, change_group)
        for name in [name for name, groups in found.items() if not groups]:
            found[name] = _match(change(_posix(name)), by_file)
    return [found[name] for name in names]


def _by_file(
    groups: Iterable[str], change: Callable[[str], str]
) -> Mapping[str, list[tuple[str, str]]]:
    """Name of a file -> its groups, as they are compared and as they are."""
    found = defaultdict(list)
    for group in groups:
        compared = change(group)
        found[posixpath.basename(compared)].append((compared, group))
    return found


def _match(name: str, by_file: Mapping[str, list[tuple[str, str]]]) -> list[str]:
    candidates = by_file.get(posixpath.basename(name), [])
    whole = [(tail, group) for tail, group in candidates if f"/{name}".endswith(f"/{tail}")]
    if whole:  # the longest: a/b.jpg is not meant where x/a/b.jpg is
        longest = max(len(tail) for tail, _ in whole)
        return [group for tail, group in whole if len(tail) == longest]
    return [group for tail, group in candidates if tail.endswith(f"/{name}")]


def _posix(name: str) -> str:
    return posixpath.normpath(name.strip().replace("\\", "/"))


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _without_suffix(group: str) -> str:
    return posixpath.splitext(_folded(group))[0]
