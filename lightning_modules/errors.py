"""What counts as a user's mistake: reported as one sentence, never as a traceback."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from compression.errors import CompressionError
from datamodules.errors import DataError, shown


class ConfigError(ValueError):
    """A mistake in the configuration, a run directory or a weights file, in one sentence."""


class JobEnded(SystemExit):
    """A job leaves because its machine ends it, which is no failure of what it ran."""


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


# How those that ask for memory say that there is none; the last two are of C++ and OpenCV.
_NO_MEMORY = re.compile(
    r"DefaultCPUAllocator: (not enough memory|can't allocate memory)|out of memory"
    r"|failed to allocate|bad_alloc|Insufficient memory",
    re.IGNORECASE,
)
_ASKED = re.compile(r"[Tt]ried to allocate (\d+(?:\.\d+)? ?(?:bytes|[KMGT]iB))")


def memory_sentence(error: BaseException) -> str | None:
    """That the memory of the machine or of its GPU is full, and what to do; None: it is not that.

    Libraries have no exception in common for it.
    """
    text = str(error)
    names = {kind.__name__ for kind in type(error).__mro__}
    full = bool(names & {"MemoryError", "OutOfMemoryError"})
    if isinstance(error, OSError):
        full = error.errno == errno.ENOMEM
    elif isinstance(error, RuntimeError) or "error" in names:  # cv2.error derives from Exception
        full = full or _NO_MEMORY.search(text) is not None
    if not full:
        return None
    place = "The GPU's memory" if re.search(r"\b(CUDA|HIP|MPS)\b", text) else "The memory"
    asked = _ASKED.search(text)
    more = f" ({asked[1]} more were asked for)" if asked else ""
    return (
        f"{place} is full{more}: end other programs that use it, or take a smaller "
        "data.batch_size, data.eval_batch_size or data.image_size, or fewer data.num_workers."
    )


@contextmanager
def full_memory_said() -> Iterator[None]:
    """Makes a full memory a user's error.

    Raises:
        ConfigError: instead of what a library raised.
    """
    try:
        yield
    except USER_ERRORS:
        raise
    except Exception as error:
        if (sentence := memory_sentence(error)) is None:
            raise
        raise ConfigError(sentence) from error


def system_sentence(error: OSError, *, elsewhere: bool = True) -> str | None:
    """What the system refused, where, and what to do; None for what may be a bug of ours.

    Args:
        error: of the system.
        elsewhere: whether another place could be chosen.
    """
    if isinstance(error, shutil.Error):
        error = _first_of_copying(error)
    remedy = _REMEDIES.get(error.errno or 0)
    if remedy is None:
        return None
    place = "A file" if error.filename is None else shown(str(error.filename))
    other = _OTHER_PLACES if elsewhere else ""
    return f"{place} cannot be read or written ({error.strerror}): {remedy}{other}."


def _first_of_copying(error: shutil.Error) -> OSError:
    """What the system said first when a folder was copied, of which only the text is kept."""
    for _, copy, reason in error.args[0] if isinstance(error.args[0], list) else []:
        if number := re.match(r"\[Errno (\d+)\]", str(reason)):
            return OSError(int(number[1]), os.strerror(int(number[1])), str(copy))
    return error
