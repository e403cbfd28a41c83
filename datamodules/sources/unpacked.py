"""Images that lie packed in other files are written out once; here is where, and what is kept."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from datamodules.errors import DataError
from datamodules.files import DAMAGE, damaged
from datamodules.sources.source import Index, Item, LeftOut

UNPACKED_DIR = ".cache/unpacked"
INDEX = "index.json"
VERSION = 1  # of what is written; another one is written anew


def unpacked_folder(
    unpacked_dir: str, name: str, files: Iterable[Path], settings: object = None
) -> Path:
    """The folder into which the images of these files are written; another one once they change.

    Args:
        unpacked_dir: holds such folders; never the user's own, which may be read-only.
        name: what the folder's name begins with.
        files: what the images come from, known by path, size and time.
        settings: plain data that decides, too, what is written.

    Raises:
        DataError: a file cannot be looked at.
    """
    known = []
    for file in files:
        try:
            status = file.stat()
        except OSError as error:
            raise DataError(f"{file} cannot be read ({error.strerror or error}).") from None
        known.append((str(file.resolve()), status.st_size, status.st_mtime_ns))
    digest = hashlib.sha256(json.dumps([VERSION, sorted(known), settings]).encode()).hexdigest()
    return Path(unpacked_dir) / f"{name}_{digest[:12]}"


def write_index(folder: Path, index: Index) -> None:
    """Keep what was found beside the images; their paths are relative to `folder`, or absolute."""
    content = {
        "class_names": index.class_names,
        "splits": {
            split: [(item.path, item.label, item.group) for item in items]
            for split, items in index.splits.items()
        },
        "left_out": [left._asdict() for left in index.left_out],
        "notes": index.notes,
        "sources": index.sources,
    }
    (folder / INDEX).write_text(json.dumps(content))


def read_index(folder: Path) -> Index:
    """What `write_index` kept.

    Raises:
        DataError: the folder was changed by others.
    """
    try:
        content = json.loads((folder / INDEX).read_bytes())
        _require_whole(content)
        return Index(
            class_names=tuple(content["class_names"]),
            splits={
                split: [Item(str(folder / path), label, None, group) for path, label, group in rows]
                for split, rows in content["splits"].items()
            },
            left_out=tuple(LeftOut(**left) for left in content["left_out"]),
            notes=tuple(content["notes"]),
            sources=content["sources"],
        )
    except (OSError, *DAMAGE) as error:
        raise damaged(folder, str(error)[:200]) from None


def _require_whole(content: dict[str, Any]) -> None:
    """Refuse what `write_index` does not write: `ValueError`, or what taking it apart raises."""
    names, notes = content["class_names"], content["notes"]
    texts = [*names, *notes, *content["sources"].values()]
    for path, label, group in (row for rows in content["splits"].values() for row in rows):
        texts += [path, group]
        if type(label) is not int or not -1 <= label < len(names):
            raise ValueError(f"{label!r} is no label")
    for left in content["left_out"]:
        texts += [left["reason"], left["first"]]
        if type(left["count"]) is not int:
            raise ValueError("it counts what is no number")
    if not all(isinstance(text, str) and "\0" not in text for text in texts):
        raise ValueError("it holds what is no text")
