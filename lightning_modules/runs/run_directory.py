"""Where runs live: their names, the two pointers, and what a refusal removes."""

import contextlib
import functools
import os
import shutil
import tempfile
from datetime import datetime
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from datamodules.errors import shown
from lightning_modules.errors import ConfigError
from lightning_modules.files import home_expanded, remove_dead_parts, write_bytes
from lightning_modules.runs.run_files import DEPENDS_ON, EXCLUDED, RECORD

NEEDED = 1 << 16  # bytes without which no run begins: what Hydra writes
_begun: list[Path] = []  # new folders of this process's run
_made: set[str] = set()  # folders that this process gave a name
# Run directories that existed before this process, and what was in them.
_older: dict[Path, set[str]] = {}
STARTED, FINISHED = "last_started", "last_finished"
AUDIT = "audit"  # in the folder of a run or study: the audit of its data
SEARCH = "study.json"  # in a search's folder: its name, its storage, what it is about


def outputs_root() -> Path:
    """The folder of all runs: $MODEL_DIET_OUTPUTS, else `outputs` below the current directory."""
    return Path(home_expanded(os.environ.get("MODEL_DIET_OUTPUTS", "outputs")))


def run_name(root: DictConfig) -> str:
    """`<model>_<data>[_<steps>]`, from the chosen options; free of slashes."""
    choices = root.hydra.runtime.choices
    return joined([model_name(root), choices.data, *root.get("compression", {})])


def model_name(root: DictConfig) -> str:
    """The model's option; the class of a network of one's own, the file of rows of one's own."""
    option, node = str(root.hydra.runtime.choices.model), root.model
    if option == "rows" and isinstance(node.get("blocks"), str):
        return Path(node.blocks).stem
    return str(node.name) if option == "custom" else option


def joined(parts: list[str]) -> str:
    """A name for files out of several; the slash of `blocks/x` becomes a dash."""
    return "_".join(part.replace("/", "-") for part in parts)


def make_folder(parent: Path, name: str) -> Path:
    """A folder in `parent` that no other process has: `name`, or `name_2`, `name_3`, ...

    Raises:
        ConfigError: it cannot be made.
    """
    make_writable(parent)
    for suffix in ["", *(f"_{n}" for n in range(2, 1000))]:
        folder = parent / f"{name}{suffix}"
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise ConfigError(f"{parent} holds a thousand runs called {name}; give hydra.run.dir=...")


def make_writable(folder: Path) -> None:
    """Makes a folder, unless it is there, in which a run can be written.

    Raises:
        ConfigError: it cannot be made, or nothing can be written into it.
    """
    if shown(decoded := os.fsencode(folder).decode("utf-8", "surrogateescape")) != decoded:
        raise ConfigError(
            f"No run can be written to {shown(str(folder))}: its name is not UTF-8, which not all "
            "libraries read; choose another place by MODEL_DIET_OUTPUTS=DIR or hydra.run.dir=DIR."
        )
    here = folder.is_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(NEEDED))
    except OSError as error:
        if not here:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise ConfigError(
            f"No run can be written to {shown(str(folder))} ({error.strerror}): free some space, "
            "get the right to write there, or choose another place by MODEL_DIET_OUTPUTS=DIR, or "
            "for one run by hydra.run.dir=DIR."
        ) from error


@functools.cache
def _run_folder(name: str) -> str:
    """The folder of this process's run, made at once, so that two runs of one second differ."""
    now = datetime.now()
    folder = make_folder(outputs_root() / f"{now:%Y-%m-%d}", f"{now:%H-%M-%S}_{name}")
    _made.add(str(folder))
    return str(folder)


def register_resolvers() -> None:
    """Makes `${run_folder:}` known to the configuration."""
    OmegaConf.register_new_resolver(
        "run_folder", lambda *, _root_: _run_folder(run_name(_root_)), replace=True
    )


def short_path(path: Path) -> str:
    """Relative to the current directory where that is above it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def update_pointer(pointer: str, folder: Path) -> None:
    """Makes `outputs/<pointer>` name this run."""
    remove_dead_parts(outputs_root(), pointer)
    write_bytes(outputs_root() / pointer, os.fsencode(folder.resolve()) + b"\n")


def resolve(value: str, pointer: str) -> Path:
    """The run directory meant by `value`: a path, or `last` for the one that `pointer` names.

    Raises:
        ConfigError: there is no such directory.
    """
    if value != "last":
        folder = Path(home_expanded(value))
        if not folder.is_dir():
            raise ConfigError(f"The run directory {value} does not exist; give an existing one.")
        return folder.resolve()
    try:
        folder = Path(os.fsdecode((outputs_root() / pointer).read_bytes().strip()))
    except FileNotFoundError:
        raise ConfigError(
            f"'last' names no run: {outputs_root()} has no {pointer.replace('_', ' ')} run yet; "
            "start one with `python run.py`, or give a run directory."
        ) from None
    if not folder.is_dir():
        raise ConfigError(f"'last' names {folder}, which no longer exists; give a run directory.")
    return folder


def search_folder(word: str) -> Path | None:
    """The directory of the search that a word names, by path or by name; None: it is none."""
    places = (Path(word), outputs_root() / "studies" / word)
    return next((place for place in places if (place / SEARCH).is_file()), None)


def register(folder: Path) -> None:
    """Notes, before Hydra writes to a run's folder, whether it was there already."""
    if folder.is_dir() and str(folder) not in _made:
        _older[folder.absolute()] = {path.name for path in folder.iterdir()} - {"run.log"}
    else:
        _begun.append(folder)


def leave_nothing() -> None:
    """Removes the folder that this process made for a run, before anything of the run is in it."""
    for folder in _begun:
        cleanup(folder)


def cleanup(folder: Path) -> None:
    """Removes what a refused run left: all of a new folder, Hydra's files in an older one."""
    if folder.absolute() not in _older:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # the day's folder, when this was its only run
            folder.parent.rmdir()
        return
    shutil.rmtree(folder / ".hydra", ignore_errors=True)
    for name in {"run.log", RECORD, EXCLUDED, DEPENDS_ON} - _older[folder.absolute()]:
        (folder / name).unlink(missing_ok=True)
