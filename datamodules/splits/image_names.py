"""Which images a person means: names in a list, written in whatever way, and their groups."""

import posixpath
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from datamodules.sources import Item


def match_images(names: Sequence[str], items: Iterable[Item]) -> list[str | None]:
    """For each name the group of the image that it means; None where that is none, or not clear.

    A name may be the group itself, begin with `./` or with folders above the root (also of another
    machine), lack its first folders where the rest is unique, have backslashes, or another case.

    Args:
        names: as they are written.
        items: what there is.
    """
    groups = dict.fromkeys(item.group for item in items)
    found: dict[str, str | None] = {}
    for change in (str, str.casefold):
        by_file = _by_file(groups, change)
        for name in names:
            if found.get(name) is None:
                found[name] = name if name in groups else _match(change(_posix(name)), by_file)
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


def _match(name: str, by_file: Mapping[str, list[tuple[str, str]]]) -> str | None:
    candidates = by_file.get(posixpath.basename(name), [])
    whole = [(len(tail), group) for tail, group in candidates if f"/{name}".endswith(f"/{tail}")]
    if whole:  # the longest: a/b.jpg is not meant where x/a/b.jpg is
        return max(whole)[1]
    ends = [group for tail, group in candidates if tail.endswith(f"/{name}")]
    return ends[0] if len(ends) == 1 else None


def _posix(name: str) -> str:
    return posixpath.normpath(name.strip().replace("\\", "/"))
