"""What counts as a user's mistake: reported as one sentence, never as a traceback."""

import errno

from compression.errors import CompressionError
from datamodules.errors import DataError, shown


class ConfigError(ValueError):
    """A mistake in the configuration, a run directory or a weights file, in one sentence."""


USER_ERRORS = (ConfigError, DataError, CompressionError)

# What a system refuses for reasons that lie outside this program, and what a person can do.
_FREE = "free some space"
_RIGHTS = "get the right to do so"
_PLACE = "give the name of another place"
_REMEDIES = {
    errno.ENOSPC: _FREE,
    errno.EDQUOT: _FREE,
    errno.EFBIG: "raise the limit of file sizes (ulimit -f)",
    errno.EROFS: _RIGHTS,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EIO: "see whether the disk is sound",
    errno.ESTALE: "see whether the disk is still there",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "end other programs that hold many files open",
    errno.ENAMETOOLONG: _PLACE,
    errno.ENOTDIR: _PLACE,
    errno.EISDIR: _PLACE,
    errno.EEXIST: _PLACE,
    errno.ELOOP: _PLACE,
}
_OTHER_PLACES = (
    ", or choose another place, for runs by MODEL_DIET_OUTPUTS=DIR, for caches by cache_dir=DIR"
)


def system_sentence(error: OSError, *, elsewhere: bool = True) -> str | None:
    """What the system refused, where, and what to do; None for what may be a bug of ours.

    Args:
        error: of the system.
        elsewhere: whether another place could be chosen.
    """
    remedy = _REMEDIES.get(error.errno or 0)
    if remedy is None:
        return None
    place = "A file" if error.filename is None else shown(str(error.filename))
    other = _OTHER_PLACES if elsewhere else ""
    return f"{place} cannot be read or written ({error.strerror}): {remedy}{other}."
