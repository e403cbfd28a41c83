"""What a system refuses is a sentence; what may be a bug keeps its trace."""

import errno
import os

import pytest

from lightning_modules.errors import system_sentence


def refusal(number, name=None):
    return OSError(number, os.strerror(number), name)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            refusal(errno.ENOSPC, "/o/last.ckpt"),
            "/o/last.ckpt cannot be read or written (No space left on device): free some space, or "
            "choose another place, for runs by MODEL_DIET_OUTPUTS=DIR, for caches by "
            "cache_dir=DIR.",
        ),
        (refusal(errno.ENOSPC), "A file cannot be read or written (No space left on device): "),
        (refusal(errno.EROFS, "x"), "x cannot be read or written (Read-only file system): get the"),
        (refusal(errno.EACCES, "x\udce9"), "x\\xe9 cannot be read or written (Permission denied)"),
        (refusal(errno.EMFILE), "(Too many open files): raise the limit of open files (ulimit -n)"),
        (refusal(errno.EFBIG), "(File too large): raise the limit of file sizes (ulimit -f), or"),
    ],
)
def test_what_the_system_refuses(error, says):
    assert says in system_sentence(error)


def test_where_the_place_is_given():
    said = system_sentence(refusal(errno.EDQUOT, "/o"), elsewhere=False)
    assert said == "/o cannot be read or written (Disk quota exceeded): free some space."


@pytest.mark.parametrize("error", [refusal(errno.ENOENT, "x"), OSError("odd"), TimeoutError()])
def test_what_may_be_a_bug(error):
    assert system_sentence(error) is None
