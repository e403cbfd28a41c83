"""Where runs live: their names, the two pointers, and what makes a directory a finished run."""

import contextlib
import functools
import json
import os
import shutil
from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from lightning_modules.errors import ConfigError

_made: set[str] = set()  # folders that this process gave a name
_older: set[Path] = set()  # run directories that existed before this process
# What a saved configuration may name without being asked about.
OWN_CODE = {
    "model": ("lightning_modules.networks.",),
    "data": ("datamodules.",),
    "augment": ("datamodules.", "albumentations."),
}
STARTED, FINISHED = "last_started", "last_finished"


def outputs_root() -> Path:
    """The folder of all runs: $MODEL_DIET_OUTPUTS, else `outputs` below the current directory."""
    return Path(os.environ.get("MODEL_DIET_OUTPUTS", "outputs"))


def run_name(root: DictConfig) -> str:
    """`<model>_<data>[_<steps>]`, from the chosen options; free of slashes."""
    choices = root.hydra.runtime.choices
    parts = [choices.model, choices.data, *root.get("compression", {})]
    return "_".join(part.replace("/", "-") for part in parts)


@functools.cache
def _unique_folder(name: str) -> str:
    """A folder that did not exist, claimed at once, so that two runs of one second differ."""
    now = datetime.now()
    day = outputs_root() / f"{now:%Y-%m-%d}"
    day.mkdir(parents=True, exist_ok=True)
    for suffix in ["", *(f"_{n}" for n in range(2, 1000))]:
        folder = day / f"{now:%H-%M-%S}_{name}{suffix}"
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        _made.add(str(folder))
        return str(folder)
    raise ConfigError(f"{day} holds a thousand runs of this second; wait a moment and try again.")


def register_resolvers() -> None:
    """Makes `${run_folder:}` and `${run_name:}` known to the configuration."""
    OmegaConf.register_new_resolver(
        "run_folder", lambda *, _root_: _unique_folder(run_name(_root_)), replace=True
    )
    OmegaConf.register_new_resolver("run_name", lambda *, _root_: run_name(_root_), replace=True)


def point(pointer: str, folder: Path) -> None:
    """Makes `outputs/<pointer>` name this run."""
    write_text(outputs_root() / pointer, f"{folder.resolve()}\n")


def resolve(value: str, pointer: str) -> Path:
    """The run directory meant by `value`: a path, or `last` for the one that `pointer` names.

    Raises:
        ConfigError: there is no such directory.
    """
    if value != "last":
        folder = Path(value)
        if not folder.is_dir():
            raise ConfigError(f"The run directory {value} does not exist; give an existing one.")
        return folder.resolve()
    try:
        folder = Path((outputs_root() / pointer).read_text().strip())
    except FileNotFoundError:
        raise ConfigError(
            f"'last' names no run: {outputs_root()} has no {pointer.replace('_', ' ')} run yet; "
            "start one with `python run.py`, or give a run directory."
        ) from None
    if not folder.is_dir():
        raise ConfigError(f"'last' names {folder}, which no longer exists; give a run directory.")
    return folder


def description(run: Path) -> dict[str, Any]:
    """What `model/network.yaml` says of the run's network, read without torch.

    Raises:
        ConfigError: the directory holds no saved network.
    """
    folder = run if (run / "network.yaml").is_file() else run / "model"
    try:
        content = yaml.safe_load((folder / "network.yaml").read_text())
    except FileNotFoundError:
        raise ConfigError(
            f"{run} is not a finished run: it has no model/network.yaml; give the directory that "
            "a finished run printed at its end."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError):
        content = None
    if not isinstance(content, dict) or "class_names" not in content:
        raise ConfigError(f"{folder / 'network.yaml'} cannot be read; the run is damaged.")
    return content


def saved_config(run: Path, *, allowed: Collection[str] = ()) -> DictConfig:
    """The composed configuration that the run was started with.

    Args:
        run: a run directory.
        allowed: keys whose `_target_` the user names anew, so that the saved one does not count.

    Raises:
        ConfigError: the directory was not made by `run.py`, or its model or data name code that
            is not this package's: a run from elsewhere must not choose what is executed here.
    """
    path = run / ".hydra" / "config.yaml"
    if not path.is_file():
        raise ConfigError(f"{run} is not a run directory: it has no .hydra/config.yaml.")
    cfg = OmegaConf.load(path)
    for group, packages in OWN_CODE.items():
        node = OmegaConf.to_container(cfg[group], resolve=False)
        for key, target in targets(node, group):
            own = isinstance(target, str) and target.startswith(packages)
            if not own and not {key, key.split(".")[0]} & set(allowed):
                raise ConfigError(
                    f"{run} wants to run {target}, which is not this package's code; if you trust "
                    f"it, say so with {key}={target}."
                )
    return cfg


def targets(node: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """All (key, `_target_` value) pairs below a plain configuration node."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield f"{prefix}._target_", node["_target_"]
        for key, value in node.items():
            yield from targets(value, f"{prefix}.{key}")
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from targets(value, f"{prefix}.{number}")


def trusted_packages(cfg: DictConfig) -> set[str]:
    """The packages of the networks and steps that the present command itself runs."""
    groups = OmegaConf.to_container(cfg, resolve=False)
    found = [pair for group in ("model", "compression") for pair in targets(groups[group], group)]
    return {str(target).split(".")[0] for _, target in found}


def write_text(path: Path, text: str) -> None:
    """Writes beside, then renames: the file is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text)
    beside.replace(path)


def write_json(path: Path, content: Any) -> None:
    """Writes JSON in one piece; NaN is refused, for no reader could take it."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """What `write_json` wrote."""
    return json.loads(path.read_text())


def claim(folder: Path) -> None:
    """Notes, before Hydra writes to a run's folder, whether it was there already."""
    if folder.is_dir() and str(folder) not in _made:
        _older.add(folder.absolute())


def discard(folder: Path) -> None:
    """Removes what a refused run left: all of a new folder, Hydra's files in an older one."""
    if folder.absolute() not in _older:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # the day's folder, when this was its only run
            folder.parent.rmdir()
        return
    shutil.rmtree(folder / ".hydra", ignore_errors=True)
    (folder / "run.log").unlink(missing_ok=True)
