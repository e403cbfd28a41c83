"""Which files a stored data set consists of, and which split each belongs to."""

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datamodules.errors import DataError
from datamodules.schema import is_name
from datamodules.sources.source import LeftOut
from datamodules.sources.split_names import split_called

PARQUET = (".parquet", ".pq")
ARROW = (".arrow",)
TARS = (".tar", ".tar.gz", ".tgz")
KINDS = {"parquet": PARQUET, "arrow": ARROW, "tar": TARS}
LFS = b"version https://git-lfs"  # what lies there until git has fetched a large file
PATTERN = re.compile(r"[*?\[]")
HUB_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)?")
SHARD = re.compile(r"[-_]?\d+(?:-of-\d+)?$")


@dataclass(frozen=True)
class StoredFiles:
    """A data set's files.

    Attributes:
        kind: `parquet`, `arrow` or `tar`.
        root: the folder that they lie in.
        splits: split -> its files, in order; all are `unsplit` where nothing says splits.
        left_out: those of other splits.
    """

    kind: str
    root: Path
    splits: dict[str, tuple[Path, ...]]
    left_out: tuple[LeftOut, ...] = ()

    @property
    def sources(self) -> dict[str, str]:
        """Split -> the names of its files, as far as they can be said in a word or two."""
        named = {}
        for split, paths in self.splits.items():
            names = [path.relative_to(self.root).as_posix() for path in paths]
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            named[split] = f"{names[0]}{more}" if names else ""
        return named

    @property
    def all(self) -> list[Path]:
        """All files."""
        return [path for paths in self.splits.values() for path in paths]


def stored_files(root: str) -> StoredFiles:
    """Find the files of a data set.

    Args:
        root: a file, a folder (of Parquet files, of tars, or as `save_to_disk` leaves it), or a
            pattern of files with `*`.

    Raises:
        DataError: there is none, it lies on a network, or what is meant cannot be told.
    """
    place = Path(root)
    if place.is_dir():
        if (place / "dataset_dict.json").is_file():
            return _saved_splits(place)
        if (place / "state.json").is_file():
            return StoredFiles("arrow", place, {"unsplit": _saved_files(place)})
        paths = [p for p in sorted(place.rglob("*")) if not _is_hidden(p.relative_to(place))]
    elif place.is_file():
        paths, place = [place], place.parent
    elif PATTERN.search(root):
        parts = Path(root).parts
        plain = next(n for n, part in enumerate(parts) if PATTERN.search(part))
        place = Path(*parts[:plain])
        paths = sorted(place.glob("/".join(parts[plain:])))
    else:
        raise _absent(root)
    found = {kind: [p for p in paths if _is_of(p, suffixes)] for kind, suffixes in KINDS.items()}
    found = {kind: paths for kind, paths in found.items() if paths}
    if len(found) != 1:
        raise _unclear(root, found)
    ((kind, files),) = found.items()
    for path in files:
        _require_fetched(path)
    return _by_split(kind, place, files)


def _by_split(kind: str, root: Path, files: Sequence[Path]) -> StoredFiles:
    splits: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        splits[_split_of(path.relative_to(root)) or ""].append(path)
    other = splits.pop("", [])
    if not splits:
        return StoredFiles(kind, root, {"unsplit": tuple(other)})
    for split, paths in splits.items():
        _require_one_configuration(root, split, paths)
    names = [path.relative_to(root).as_posix() for path in other]
    left_out = _left_out("files whose names say no split", names)
    return StoredFiles(kind, root, _named(splits), left_out)


def _left_out(reason: str, names: Sequence[str]) -> tuple[LeftOut, ...]:
    return (LeftOut(reason, len(names), names[0]),) if names else ()


def _named(splits: Mapping[str, Sequence[Path]]) -> dict[str, tuple[Path, ...]]:
    """In the usual order; images to train on are shared out where there is no validation."""
    named = {split: tuple(splits[split]) for split in ("train", "val", "test") if split in splits}
    if "train" in named and "val" not in named:
        named = {"unsplit": named.pop("train"), **named}
    return named


def _split_of(path: Path) -> str | None:
    """By a word of the file's name, else by the nearest folder of a split's name."""
    stem = SHARD.sub("", path.name.partition(".")[0])
    words = {split_called(word) for word in (stem, *re.split(r"[\W_]+", stem))} - {None}
    if len(words) == 1:
        return words.pop()
    folders = map(split_called, reversed(path.parts[:-1]))
    return next((split for split in folders if split is not None), None)


def _require_one_configuration(root: Path, split: str, paths: Sequence[Path]) -> None:
    """Refuse files of two data sets that lie side by side, as those of several configurations."""
    folders = {
        "/".join(part for part in path.relative_to(root).parts[:-1] if split_called(part) is None)
        for path in paths
    }
    if len(folders) > 1:
        first, second, *_ = sorted(folders)
        raise DataError(
            f"{root} holds files of the split {split} in several folders ({first or '.'}, "
            f"{second or '.'}), as data sets of several configurations have them: set data.root to "
            "one of them."
        )


def _saved_splits(root: Path) -> StoredFiles:
    file = root / "dataset_dict.json"
    names = _json(file).get("splits", [])
    if not isinstance(names, list) or not all(map(is_name, names)):
        raise _unlike(file, "it names no splits")
    splits = {split: name for name in names if (split := split_called(name)) is not None}
    other = [name for name in names if name not in splits.values()]
    if not splits and len(names) == 1:
        return StoredFiles("arrow", root, {"unsplit": _saved_files(root / names[0])})
    if not splits:
        raise DataError(
            f"{root} has the splits {', '.join(names)}, none of which is train, validation or "
            "test: set data.root to the folder of one of them."
        )
    files = {split: _saved_files(root / name) for split, name in splits.items()}
    return StoredFiles("arrow", root, _named(files), _left_out("splits of other names", other))


def _saved_files(folder: Path) -> tuple[Path, ...]:
    state = _json(folder / "state.json")
    if state.get("_indices_data_files"):
        raise DataError(
            f"{folder} holds a selection of its rows as an early `datasets` saved it: load it and "
            "call save_to_disk once more with a newer one."
        )
    files = state.get("_data_files", [])
    listed = files if isinstance(files, list) else [None]
    found = [file.get("filename") if isinstance(file, dict) else None for file in listed]
    names = [name for name in found if is_name(name)]
    if len(names) < len(found):
        raise _unlike(folder / "state.json", "it names no files")
    return tuple(folder / name for name in names)


def _json(path: Path) -> dict:
    try:
        content = json.loads(path.read_bytes())
        if isinstance(content, dict):
            return content
        reason = "it is no object"
    except (OSError, ValueError, RecursionError) as error:
        reason = str(error)
    raise _unlike(path, reason)


def _unlike(path: Path, reason: str) -> DataError:
    return DataError(
        f"{path} cannot be read ({reason}): it should be as save_to_disk leaves it; save the data "
        "set again."
    )


def _require_fetched(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(len(LFS))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from None
    if start == LFS:
        raise DataError(
            f"{path} only says where git keeps the file: fetch it by `git lfs pull` in its folder."
        )


def _is_of(path: Path, suffixes: Sequence[str]) -> bool:
    return path.name.lower().endswith(tuple(suffixes)) and path.is_file()


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _absent(root: str) -> DataError:
    if HUB_NAME.fullmatch(root) or "://" in root:
        return DataError(
            f"data.root={root} is no file or folder here, and data sets are not loaded from a "
            "network: download it first, as by `hf download NAME --repo-type dataset --local-dir "
            "FOLDER`, and set data.root=FOLDER."
        )
    return DataError(
        f"The data set {root} does not exist: set data.root to a Parquet file, to tars, or to a "
        "folder of these or of save_to_disk."
    )


def _unclear(root: str, found: dict[str, list[Path]]) -> DataError:
    if found:
        first, second, *_ = (paths[0].name for paths in found.values())
        return DataError(
            f"{root} holds files of several kinds ({first}, {second}): set data.root to those that "
            "are meant, as by 'data.root=FOLDER/*.parquet'."
        )
    return DataError(
        f"{root} holds no Parquet, Arrow or tar files: folders of images are read by "
        "data=image_folder, tables that list images by data=csv."
    )
