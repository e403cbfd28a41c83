"""The error of this package."""

from pathlib import Path


class DataError(ValueError):
    """A mistake in the user's data set or its settings; the text is one sentence for a person."""


def unwritable(path: Path, error: OSError) -> DataError:
    """The disk is full, or the place may not be written: what the system said, for a person."""
    return DataError(
        f"{path} cannot be written ({error.strerror or error}): free some space, get the "
        "right to write there, or choose another place."
    )
