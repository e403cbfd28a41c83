"""What was odd about files that were read all the same: told once, with how many and the first."""

import logging
from collections.abc import Iterable, Mapping, Sequence

from datamodules.errors import shown

NO_END = "without an end marker, which the JPEG lacks"
METADATA = "without texts, profiles or tags, which are broken or too large"
CLIPPED = "with levels above the white of the training images, which became white"

NAMED = 3  # files

Notices = dict[str, list[str]]  # one of the above -> files


def add_notices(notices: Notices, path: str, found: Iterable[str]) -> None:
    """Note what was odd about a file."""
    for notice in found:
        notices.setdefault(notice, []).append(path)


def sentences(notices: Mapping[str, Sequence[str]]) -> list[str]:
    """For a person: `3 images were read without ... (the first: a.jpg, b.jpg, c.jpg).`."""
    return [
        f"{len(paths)} {'images were' if len(paths) > 1 else 'image was'} read {notice} "
        f"(the first: {', '.join(map(shown, list(paths)[:NAMED]))})."
        for notice, paths in notices.items()
    ]


def warn_of_notices(log: logging.Logger, notices: Mapping[str, Sequence[str]]) -> None:
    """Write them as warnings."""
    for sentence in sentences(notices):
        log.warning("%s", sentence)
