"""The error of this package."""


class CompressionError(ValueError):
    """A compression that cannot be done as asked; the text is one sentence for a person."""
