"""The one way in which this package writes files: beside, then renamed, so none is ever partial."""

import contextlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MOST_NODES = 1_000_000  # of plain data whose aliases are written out


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it is renamed to it at the end of the `with`.

    After an error nothing is left, and what was at `path` before stays. The file gets the
    permissions that the umask leaves, whatever the writer gave it.

    Raises:
        OSError: it cannot be written; also where the writer, in C++, had words of its own for it.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.touch()
        mode = stat.S_IMODE(part.stat().st_mode)
        yield part
        part.chmod(mode)
        part.replace(path)
    except OSError as error:
        if error.filename in (None, str(part)):  # a full disk is said without a name
            error.filename = str(path)
        raise
    except Exception:
        _check_room(part, path)
        raise
    finally:
        with contextlib.suppress(OSError):  # the folder cannot be written, as was said
            part.unlink(missing_ok=True)


def _check_room(part: Path, path: Path) -> None:
    """Writes a little more to a file whose writing failed.

    Raises:
        OSError: that fails too: the disk is full, or the file has grown too large.
    """
    try:
        with part.open("ab") as file:
            file.write(bytes(1 << 20))
    except OSError as error:
        error.filename = str(path)
        raise


def count_nodes(node: Any, known: dict[int, int] | None = None) -> int:
    """How many values plain data comes to when each alias in it is written out.

    Args:
        node: mappings, lists and what they hold.
        known: of containers that were counted, by their identities.

    Raises:
        RecursionError: it holds itself.
    """
    known = {} if known is None else known
    if not isinstance(node, dict | list | tuple | set):
        return 1
    if id(node) not in known:
        values = node.values() if isinstance(node, dict) else node
        known[id(node)] = 1 + sum(count_nodes(value, known) for value in values)
    return known[id(node)]


def write_bytes(path: Path, content: bytes) -> Path:
    """Write a file in one piece."""
    with whole_file(path) as part:
        part.write_bytes(content)
    return path


def write_text(path: Path, text: str) -> Path:
    """Write a UTF-8 text file in one piece."""
    return write_bytes(path, text.encode("utf-8"))
