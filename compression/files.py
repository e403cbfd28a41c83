"""The one way in which this package writes files: beside, then renamed, so none is ever partial."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it is renamed to it at the end of the `with`.

    After an error nothing is left, and what was at `path` before stays. The file gets the
    permissions that the umask leaves, whatever the writer gave it.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.touch()
    mode = stat.S_IMODE(part.stat().st_mode)
    try:
        yield part
        part.chmod(mode)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> Path:
    """Write a file in one piece."""
    with whole_file(path) as part:
        part.write_bytes(content)
    return path


def write_text(path: Path, text: str) -> Path:
    """Write a UTF-8 text file in one piece."""
    return write_bytes(path, text.encode("utf-8"))
