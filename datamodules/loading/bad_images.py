"""What is done about images that cannot be decoded."""

import logging
from collections.abc import Mapping

from datamodules.errors import DataError

log = logging.getLogger(__name__)


def allow_bad_images(bad: Mapping[str, str], most: int) -> None:
    """Name each skipped image in a warning.

    Args:
        bad: Path of each unreadable image -> sentence that says what is wrong with it.
        most: How many may be skipped.

    Raises:
        DataError: there are more.
    """
    if len(bad) > most:
        first = " ".join(list(bad.values())[:3])
        raise DataError(
            f"{len(bad)} images cannot be used and data.max_bad_images={most}: repair them, "
            f"remove them or raise that number. The first: {first}"
        )
    for sentence in bad.values():
        log.warning("Skipped: %s", sentence)
