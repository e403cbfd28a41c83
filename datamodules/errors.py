"""The error of this package."""


class DataError(ValueError):
    """A mistake in the user's data set or its settings; the text is one sentence for a person."""
