"""`network.yaml`: what a saved network is, readable by a person and safe to read by a program."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from compression.errors import CompressionError
from compression.registry import locate
from lightning_modules.errors import ConfigError
from lightning_modules.files import DAMAGE, home_expanded, read_yaml, write_text
from lightning_modules.runs import current_config, current_model, stored_model
from lightning_modules.runs.saved_model import NETWORKS

SCHEMA = 2
SCHEMAS = (1, SCHEMA)  # 1 named what makes the network by its path
FOLDER, FILE = "model", "network.yaml"  # of a run; in it
WEIGHTS, INT8 = "weights.safetensors", "network.int8.onnx"  # a saved network has one of them
OWN_CODE = ("lightning_modules.networks", "compression")

KEYS = {"model", "num_classes", "class_names", "image_size", "sha256"}

Description = dict[str, Any]


def find_folder(run_or_model_dir: str | Path) -> Path:
    """The `model/` of a run directory, or the directory itself where it is one.

    Raises:
        ConfigError: there is no saved network.
    """
    given = Path(home_expanded(run_or_model_dir))
    for folder in (given / FOLDER, given):
        if (folder / FILE).is_file() or (folder.name == FOLDER and folder.is_dir()):
            return folder
    raise ConfigError(
        f"{given} holds no saved network: a run directory has a folder model/ with {FILE} in it, "
        f"which is written when the run has finished."
    )


def write_description(folder: Path, description: Description) -> None:
    """Write `network.yaml` into `folder`, with the hashes of the other files, which are there.

    Raises:
        ConfigError: the description is not plain data.
    """
    try:
        plain = json.loads(json.dumps({"schema": SCHEMA, **description}))
        plain["model"] = stored_model(plain["model"])
    except TypeError as error:
        raise ConfigError(f"A saved network's description must be plain data: {error}.") from error
    plain["sha256"] = {name: _sha256((folder / name).read_bytes()) for name in hashed(folder)}
    plain["sha256"][FILE] = _own_sha256(plain)
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    write_text(folder / FILE, f"# python scripts/describe.py RUN\n{text}")


def weights_file(folder: Path) -> Path:
    """The file of a saved network that holds its weights."""
    return folder / (INT8 if (folder / INT8).is_file() else WEIGHTS)


def hashed(folder: Path) -> tuple[str, ...]:
    """The files of a saved network whose hashes `network.yaml` has."""
    return "recipe.json", weights_file(folder).name, "probe.safetensors"


def read_description(folder: Path, *, trust: Iterable[str] = ()) -> Description:
    """Read and check `network.yaml` and the hashes of the files beside it.

    Returns:
        What it says, in today's names and `_target_`s.

    Raises:
        ConfigError: a file is missing, unreadable, of another schema, names foreign code or an
            unknown network, or was changed since it was written; the sentence says which.
    """
    for name in (FILE, *hashed(folder)):
        if not (folder / name).is_file():
            raise ConfigError(f"The saved network {folder} is incomplete: {name} is missing.")
    path = folder / FILE
    try:
        description = read_yaml(path)
        schema = description["schema"]
        texts = all(isinstance(key, str) for key in description)
        if isinstance(schema, list | dict) or not texts:
            raise TypeError("it has keys or a schema of no such file")
    except DAMAGE as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path} cannot be read as a saved network: {reason}.") from error
    if schema not in SCHEMAS:
        raise ConfigError(
            f"{path} has schema version {schema!r}; this installation reads versions "
            f"{' and '.join(map(str, SCHEMAS))}."
        )
    absent = KEYS - description.keys()
    if absent:
        raise ConfigError(f"{path} lacks {', '.join(sorted(absent))}.")
    _check_hashes(folder, description)
    description = current_config(description)
    try:
        description["model"] = current_model(description["model"])
    except ConfigError as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    _check_targets(path, description["model"], trust)
    return description


def _check_targets(path: Path, model: Any, trust: Iterable[str]) -> None:
    """Nothing but networks of known packages may be built; an unpickler would not ask."""
    trust, makers = list(trust), {network.path for network in NETWORKS.values()}
    if "${" in json.dumps(model):
        raise ConfigError(f"{path} holds an interpolation in its model, which is not resolved.")
    for target in _targets(model):
        try:
            found = locate(target, [*OWN_CODE, *trust])
        except CompressionError as error:
            raise ConfigError(f"{path} names code that is not run: {error}") from error
        module = getattr(found, "__module__", "")
        network = isinstance(found, type) and issubclass(found, nn.Module)
        own = any(module.startswith(f"{package}.") for package in OWN_CODE)
        if own and not network and target not in makers:
            raise ConfigError(f"{path} names code that is not run: {target!r} is no network.")


def _targets(node: Any) -> Iterator[Any]:
    """All `_target_` values below a node."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield node["_target_"]
        for value in node.values():
            yield from _targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from _targets(value)


def _check_hashes(folder: Path, description: Description) -> None:
    hashes = description.get("sha256")
    hashes = hashes if isinstance(hashes, dict) else {}
    for name in (FILE, *hashed(folder)):
        own = name == FILE
        found = _own_sha256(description) if own else _sha256((folder / name).read_bytes())
        if hashes.get(name) != found:
            raise ConfigError(
                f"{folder / name} was changed after it was written: its sha256 is not the one in "
                f"{FILE}."
            )


def _own_sha256(description: Description) -> str:
    """Of all that `network.yaml` says except this very hash."""
    known = description["sha256"]
    hashes = {k: v for k, v in known.items() if k != FILE} if isinstance(known, dict) else {}
    content = json.dumps({**description, "sha256": hashes}, sort_keys=True)
    return _sha256(content.encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
