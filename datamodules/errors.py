"""The error of this package."""

import re
from pathlib import Path


class DataError(ValueError):
    """A mistake in the user's data set or its settings; the text is one sentence for a person."""

    def __str__(self) -> str:
        return shown(super().__str__())


def shown(text: str) -> str:
    r"""Text that can be printed: bytes of a path that are not UTF-8 stand as `\xe9`."""
    escaped = re.sub("[\udc80-\udcff]", lambda m: rf"\x{ord(m[0]) - 0xDC00:02x}", text)
    return escaped.encode("utf-8", "backslashreplace").decode()


def unwritable(path: Path, error: OSError) -> DataError:
    """The disk is full, or the place may not be written: what the system said, for a person."""
    return DataError(
        f"{path} cannot be written ({error.strerror or error}): free some space, get the right to "
        "write there, or choose another place: for caches cache_dir=DIR, for data data.root=DIR."
    )
