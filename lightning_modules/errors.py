"""What counts as a user's mistake: reported as one sentence, never as a traceback."""

from compression.errors import CompressionError
from datamodules.errors import DataError


class ConfigError(ValueError):
    """A mistake in the configuration, a run directory or a weights file, in one sentence."""


USER_ERRORS = (ConfigError, DataError, CompressionError)
