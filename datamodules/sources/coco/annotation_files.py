"""Which annotation files a COCO data set has: one, or one for each of its splits."""

import mmap
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from datamodules.errors import DataError
from datamodules.sources.split_names import SPLIT_WORDS, split_called

DEFAULT = "annotations.json"
ROBOFLOW = "_annotations.coco.json"
LISTS = (b'"images"', b'"annotations"', b'"categories"')
# Of several files for one split, those of boxes, as COCO 2017 and most exports call them.
OF_BOXES = re.compile(r"^(_?annotations|instances|coco|labels)\b|^instances_", re.ASCII)


class AnnotationFile(NamedTuple):
    """An annotation file, its split, and the folders below the root where its images may lie."""

    split: str
    path: Path
    homes: tuple[str, ...]  # relative to the root ("" is the root itself), the likeliest first


def annotation_files(root: Path, given: str | Mapping[str, str]) -> list[AnnotationFile]:
    """The annotation file, or the files of the splits.

    Args:
        root: folder of the data set.
        given: a file or a folder of files, relative to `root`, or the file of each split. Where
            the default is absent, the files are looked for: one for each of the folders `train/`,
            `valid/` and `test/` (Roboflow), below `annotations/` or in the root one for each split
            that its name tells (`instances_train2017.json`), or a single one.

    Raises:
        DataError: a split has several files, or a file is of no split.
    """
    if isinstance(given, Mapping):
        return _in_order(root, {_split(name): [root / file] for name, file in given.items()})
    path = root / given
    if path.is_dir():
        found = _by_split(_coco_files(path))
        if not found:
            raise DataError(
                f"The folder {path} holds no COCO detection file (.json): give one, relative to "
                "data.root, as data.source.annotations=..."
            )
        return _in_order(root, found)
    if given == DEFAULT and not path.exists():
        found = _of_folders(root) or _by_split(_coco_files(root))
        found = found or _by_split(_coco_files(root / "annotations"))
        if found:
            return _in_order(root, found)
    return [_annotation_file(root, "unsplit", path)]


def _split(name: Any) -> str:
    split = split_called(str(name))
    if split is None:
        raise DataError(
            f"data.source.annotations names the split {str(name)!r}: give files for train, val and "
            "test, as in 'data.source.annotations={train: a.json, val: b.json}'."
        )
    return split


def _in_order(root: Path, found: Mapping[str, list[Path]]) -> list[AnnotationFile]:
    """One file each for train, val and test; without a val, train is left to be shared out."""
    files = []
    for split in ("unsplit", *SPLIT_WORDS):
        paths = found.get(split, [])
        if len(paths) > 1:
            names = ", ".join(sorted(os.path.relpath(path, root) for path in paths))
            of = "" if split == "unsplit" else f" for {split}"
            raise DataError(
                f"The data folder {root} holds several annotation files{of} ({names}): choose one "
                "by data.source.annotations=FILE, or one for each split by "
                "'data.source.annotations={train: a.json, val: b.json}'."
            )
        if split == "train" and "val" not in found:
            split = "unsplit"
        files += [_annotation_file(root, split, path) for path in paths]
    return files


def _of_folders(root: Path) -> dict[str, list[Path]]:
    """The files in folders that are called as splits are.

    Raises:
        DataError: beside them lies a folder with annotations that is called otherwise.
    """
    found: dict[str, list[Path]] = defaultdict(list)
    others = []
    for folder in _folders(root):
        files = _coco_files(folder)
        if files and (split := split_called(folder.name)):
            found[split] += _chosen(files)
        elif folder.name != "annotations":
            others += [file for file in files if file.name == ROBOFLOW]
    if found and others:
        raise DataError(
            f"{others[0]} lies beside {', '.join(sorted(found))} and is of no split that its "
            "folder's name tells: call the folder train, valid or test, or move it away."
        )
    return found


def _by_split(files: Iterable[Path]) -> dict[str, list[Path]]:
    """The files by the splits that their names tell; else those that tell none."""
    found: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        found[_split_told(file) or "unsplit"].append(file)
    if len(found) > 1:
        found.pop("unsplit", None)  # such as all splits in one file
    return {split: _chosen(paths) for split, paths in found.items()}


def _split_told(file: Path) -> str | None:
    """The split of `instances_train2017.json`."""
    words = re.split(r"[^a-z]+", file.stem.casefold())
    return next((split for word in words if (split := split_called(word))), None)


def _chosen(files: list[Path]) -> list[Path]:
    """Of several the one of boxes: not the key points or captions beside it."""
    if len(files) > 1:
        files = [file for file in files if OF_BOXES.match(file.name)] or files
    return [file for file in files if file.name == ROBOFLOW] or files


def _coco_files(folder: Path) -> list[Path]:
    """The JSON files of a folder that have the three lists of COCO detection files."""
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if e.name.lower().endswith(".json") and e.is_file()]
    except OSError:
        return []
    return [folder / name for name in sorted(names) if _has_lists(folder / name)]


def _has_lists(path: Path) -> bool:
    """Looks for the words only: such files may have half a gigabyte."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            return all(text.find(name) >= 0 for name in LISTS)
    except (OSError, ValueError):  # empty
        return False


def _annotation_file(root: Path, split: str, path: Path) -> AnnotationFile:
    return AnnotationFile(split, path, tuple(dict.fromkeys(_homes(root, split, path))))


def _homes(root: Path, split: str, path: Path) -> Iterator[str]:
    """Where the images of a file may lie, the likeliest first."""
    beside = os.path.relpath(path.parent, root)
    inside = beside not in (os.curdir, os.pardir) and not beside.startswith(f"{os.pardir}{os.sep}")
    if split == "unsplit" or not inside:
        yield ""
    if inside:
        yield from (beside, f"{beside}/images")
    told = _split_told(path) or (split if split in SPLIT_WORDS else None)
    for parent in ("", "images/", *([f"{beside}/images/"] if inside else ())):
        for folder in _folders(root / parent) if told else ():
            if split_called(folder.name.rstrip("0123456789")) == told:
                yield f"{parent}{folder.name}"
    yield from ("images", "")


def _folders(parent: Path) -> list[Path]:
    """Visible sub-folders; none where they cannot be listed, which is refused elsewhere."""
    try:
        return sorted(p for p in parent.iterdir() if p.is_dir() and not p.name.startswith("."))
    except OSError:
        return []
