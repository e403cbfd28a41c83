"""Choosing layers by name patterns such as `body.layer1.*`."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from compression.errors import CompressionError


def chosen(names: Sequence[str], include: Iterable[str], exclude: Iterable[str]) -> set[str]:
    """The `names` that match a pattern of `include` and none of `exclude`.

    Raises:
        CompressionError: a pattern matches no name at all; says the nearest names.
    """
    wanted = {name for pattern in include for name in _matching(pattern, names)}
    unwanted = {name for pattern in exclude for name in _matching(pattern, names)}
    return wanted - unwanted


def _matching(pattern: str, names: Sequence[str]) -> list[str]:
    found = [name for name in names if fnmatchcase(name, pattern)]
    if not found and pattern != "*":
        near = get_close_matches(pattern, names, n=3, cutoff=0.0)
        raise CompressionError(
            f"No layer matches the pattern {pattern!r}; the nearest names are {', '.join(near)}."
        )
    return found
