"""What images are, by the bytes of their files: a digest that is the same on any machine.

Each file is read once a machine: its digest is kept below the cache for as long as the file's size
and times stay as they are.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from datamodules.errors import DataError
from datamodules.files import file_state, remove_dead_parts, write_bytes
from datamodules.sources import Item
from datamodules.workers import report_progress

FOLDER = "contents"  # below the cache
MANY = 5000  # files, from which on it takes a while
Digests = dict[str, str]  # path -> sha256 of the file, "" where there is none


def file_digests(paths: Iterable[str], cache_dir: Path) -> Digests:
    """The sha256 of each file.

    Args:
        paths: of the images of a source, in any order.
        cache_dir: where digests are kept, shared by all runs.
    """
    names = sorted(set(paths))
    key = hashlib.sha256(os.fsencode("\n".join(names))).hexdigest()[:16]
    kept, states = _read(cache_dir / FOLDER / f"{key}.json"), {n: _state(n) for n in names}
    found = {n: kept[n][1] for n in names if n in kept and kept[n][0] == states[n]}
    lacking = [name for name in names if name not in found]
    if not lacking:
        return found
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        digests = threads.map(_digest, lacking)
        if len(lacking) > MANY:
            job = f"Reading {len(lacking)} image files once more, for their digests"
            digests = report_progress(digests, total=len(lacking), job=job)
        found |= zip(lacking, digests, strict=True)
    written = json.dumps({name: [states[name], found[name]] for name in names})
    with contextlib.suppress(DataError, OSError):  # another user's: they are found anew each time
        remove_dead_parts(cache_dir / FOLDER)
        write_bytes(cache_dir / FOLDER / f"{key}.json", written.encode())
    return found


def split_digest(items: Sequence[Item], digests: Digests) -> str:
    """Changes with the images of a split, their files' bytes, boxes, labels and order."""
    digest = hashlib.sha256()
    for item in items:
        what = (os.fsencode(item.group), item.label, item.box, digests[item.path])
        digest.update(repr(what).encode())
    return digest.hexdigest()


def _state(path: str) -> str:
    return repr(file_state(path)[1])


def _digest(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:  # a listed file that is absent
        return ""


def _read(path: Path) -> dict[str, list[str]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
