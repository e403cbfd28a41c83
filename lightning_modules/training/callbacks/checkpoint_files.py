"""The files of a stage's checkpoints: written whole, and read only where their digests agree.

`last.ckpt` is the newest epoch, `previous.ckpt` the one before it, `best.ckpt` the best one on
validation. Beside each lies `NAME.sha256`, as `sha256sum -c` reads it. A digest is noted before its
file gets its name and counts for any file of the folder, so that a kill between two renamings
leaves no whole file without one.
"""

import hashlib
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import torch

from lightning_modules.errors import ConfigError
from lightning_modules.files import remove_parts, whole_file, write_text

log = logging.getLogger(__name__)

LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"
DIGEST, NOTED = ".sha256", ".sha256.new"  # of a file; of one that is about to get its name


def save_epoch(checkpoint: dict[str, Any], folder: Path, *, is_best: bool) -> None:
    """Writes the checkpoint of an epoch; what was the last one becomes the previous one.

    Args:
        checkpoint: the content.
        folder: of the stage's checkpoints.
        is_best: whether it becomes `best.ckpt` too. That comes first: the content says which epoch
            is the best, this one included.
    """
    last, previous, best = folder / LAST, folder / PREVIOUS, folder / BEST
    with whole_file(last) as part:
        torch.save(checkpoint, part)
        digest = _digest(part)
        if is_best:
            _note(best, digest)
            with whole_file(best) as copy:
                shutil.copyfile(part, copy)
            _settle(best)
        if last.is_file():
            if not _beside(last, DIGEST).is_file():  # an earlier version's, or of a kill
                write_text(_beside(last, DIGEST), _line(last, _digest(last)))
            last.replace(previous)
            write_text(_beside(previous, DIGEST), _line(previous, _read(_beside(last, DIGEST))))
        _note(last, digest)
    _settle(last)


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint.

    Attributes:
        path: of its file.
        round: of the stage that it was saved in; -1 prepares for the first plan.
        epoch: of that round, from 0, which it was saved after.
        resume_state: what a Classifier stored: how to rebuild its network before loading it.
    """

    path: Path
    round: int
    epoch: int
    resume_state: dict[str, Any]


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest whole checkpoint of a stage, or None where it has none yet.

    What a kill left half-done is tidied up, so no other process may be at work in the folder. Where
    a damaged file is passed over, or the file is not the last one, that is said.

    Raises:
        ConfigError: there are checkpoints, but none is whole.
    """
    remove_parts(folder)
    paths = [path for name in (LAST, PREVIOUS, BEST) if (path := folder / name).is_file()]
    faults = {path: fault for path in paths if (fault := fault_of(path)) is not None}
    whole = [_opened(path) for path in paths if path not in faults]
    said = ", ".join(f"{path.name} {fault}" for path, fault in faults.items())
    if paths and not whole:
        raise ConfigError(
            f"No checkpoint in {folder} is whole ({said}); delete that folder, and resume trains "
            "the stage again from its start."
        )
    if not whole:
        return None
    _tidy_digests(folder, [found.path for found in whole])
    newest = max(whole, key=lambda found: (found.round, found.epoch))  # the first one where equal
    if faults:
        log.warning(f"{folder}: {said}; {newest.path.name} is the newest whole checkpoint")
    return newest


def read_checkpoint(folder: Path, name: str = LAST) -> dict[str, Any] | None:
    """The content of a checkpoint, loaded without unpickling code, or None where there is none.

    Raises:
        ConfigError: it is damaged.
    """
    path = folder / name
    if not path.is_file():
        return None
    if (fault := fault_of(path)) is not None:
        raise ConfigError(
            f"{path} {fault}, and the run needs it; delete {folder}, and resume trains the stage "
            "again from its start."
        )
    return _load(path)


def fault_of(path: Path) -> str | None:
    """What is wrong with a checkpoint, to be said after its name; None where it is whole.

    Files of earlier versions have no digest: there the checksums inside, of each tensor, must do.
    """
    known = {_read(file) for kind in (DIGEST, NOTED) for file in path.parent.glob(f"*.ckpt{kind}")}
    if known and _digest(path) in known:
        return None
    if _beside(path, DIGEST).is_file() or _beside(path, NOTED).is_file():
        return "is damaged: it does not have the digest that was noted when it was written"
    try:
        with ZipFile(path) as file:
            torn = file.testzip()
        if torn is None and not _is_of_a_fit(_load(path)):
            return "is damaged: it is no checkpoint of a fit"
    except Exception as error:  # reading bytes that are no checkpoint raises anything at all
        return f"is damaged: it cannot be read ({type(error).__name__})"
    return None if torn is None else "is damaged: a checksum inside it differs"


def _is_of_a_fit(content: dict[str, Any]) -> bool:
    if not {"epoch", "state_dict"} <= content.keys():
        return False
    state = _resume_state(content)
    entries = state.get("entries", [])
    return (
        isinstance(content["state_dict"], dict)
        and type(content["epoch"]) is int
        and type(state.get("round", 0)) is int
        and isinstance(state.get("surgery", []), list)
        and isinstance(entries, list)
        and all(entry.keys() == {"step", "version", "plan"} for entry in entries)
    )


def _resume_state(content: dict[str, Any]) -> dict[str, Any]:
    """What a Classifier stored; the second is the key of earlier versions."""
    return content.get("resume_state") or content.get("origin") or {}


def _opened(path: Path) -> Checkpoint:
    content = _load(path)
    state = _resume_state(content)
    return Checkpoint(path, state.get("round", 0), content["epoch"], state)


def _load(path: Path) -> dict[str, Any]:
    return torch.load(path, map_location="cpu", weights_only=True)


def _tidy_digests(folder: Path, whole: list[Path]) -> None:
    """Gives each whole file its own digest, and forgets those of files that never got a name."""
    for path in whole:
        digest = _digest(path)
        if _read(_beside(path, DIGEST)) != digest:
            write_text(_beside(path, DIGEST), _line(path, digest))
    for path in folder.glob(f"*.ckpt{NOTED}"):
        path.unlink()


def _beside(path: Path, kind: str) -> Path:
    return path.with_name(path.name + kind)


def _note(path: Path, digest: str) -> None:
    write_text(_beside(path, NOTED), _line(path, digest))


def _settle(path: Path) -> None:
    _beside(path, NOTED).replace(_beside(path, DIGEST))


def _line(path: Path, digest: str) -> str:
    return f"{digest}  {path.name}\n"


def _read(file: Path) -> str:
    """The digest in a file; empty where there is none."""
    words = file.read_text(errors="replace").split() if file.is_file() else []
    return words[0] if words else ""


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
