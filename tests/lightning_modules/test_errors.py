"""What a system refuses is a sentence; what may be a bug keeps its trace."""

import errno
import os
import shutil

import pytest

from lightning_modules.errors import (
    ConfigError,
    full_memory_said,
    memory_sentence,
    system_sentence,
)


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
        (
            shutil.Error([("a/w", "b/w", str(refusal(errno.ENOSPC, "a/w"))), ("c", "d", "odd")]),
            "b/w cannot be read or written (No space left on device): free some space, or",
        ),
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


@pytest.mark.parametrize(
    "error", [refusal(errno.ENOENT, "x"), OSError("odd"), shutil.Error("same file"), TimeoutError()]
)
def test_what_may_be_a_bug(error):
    assert system_sentence(error) is None


CPU = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: "
GPU = "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.10 GiB"


class OutOfMemoryError(RuntimeError):
    """As torch's, which needs no GPU to be raised."""


@pytest.mark.parametrize(
    ("error", "place"),
    [
        (MemoryError(), "The memory is full: end other programs"),
        (MemoryError("Unable to allocate 9.31 GiB for an array"), "The memory is full: "),
        (
            RuntimeError(f"{CPU}you tried to allocate 710934528 bytes."),
            "The memory is full (710934528 bytes more were asked for): end other",
        ),
        (OutOfMemoryError(GPU), "The GPU's memory is full (2.50 GiB more were asked for): end"),
        (RuntimeError("std::bad_alloc"), "The memory is full: "),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "The memory is full: "),
    ],
)
def test_a_full_memory(error, place):
    assert memory_sentence(error).startswith(place)
    with pytest.raises(ConfigError, match="take a smaller data.batch_size"), full_memory_said():
        raise error


def test_opencv():
    import cv2

    with pytest.raises(ConfigError, match="The memory is full"), full_memory_said():
        raise cv2.error("OpenCV(4.1) alloc.cpp:73: error: (-4:Insufficient memory) Failed to al")


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes cannot be multiplied"), ValueError("out of memory"), KeyError()]
)
def test_what_is_no_full_memory(error):
    assert memory_sentence(error) is None
    with pytest.raises(type(error)), full_memory_said():
        raise error
