"""What a run depends on besides its configuration: this package, the images, files of weights.

It is recorded when the run begins and compared when it goes on; of runs of earlier versions, which
have no record, nothing is known. Needs no torch.
"""

import functools
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from datamodules.typed_words import PROJECT
from lightning_modules.errors import ConfigError
from lightning_modules.files import read_json, write_json
from lightning_modules.runs.run_files import DEPENDS_ON

if TYPE_CHECKING:
    from datamodules.sources import Item

TEACHERS = "teachers.json"  # beside it: which runs its teachers are
JOINED = "joined"  # beside the splits: what is in none
PACKAGE = "model-diet"
WEIGHTS = ("network.int8.onnx", "weights.safetensors")  # of a saved network, one of them


@functools.cache
def package_version() -> str:
    """The version of the checkout that this is, else of what is installed."""
    import tomllib  # not for --help
    from importlib.metadata import PackageNotFoundError, version

    path = PROJECT / "pyproject.toml"
    project = tomllib.loads(path.read_text()).get("project", {}) if path.is_file() else {}
    try:
        return str(project["version"] if "version" in project else version(PACKAGE))
    except PackageNotFoundError:
        return "unknown"


def same_version(run: Path) -> bool:
    """Whether a run says that this version began it."""
    return _stored(run).get("version") == package_version()


def note_version(cfg: DictConfig, run: Path) -> None:
    """Records that this version begins a run, unless it began before."""
    if cfg.resume is None and not (run / DEPENDS_ON).is_file():
        write_json(run / DEPENDS_ON, {"version": package_version()})


def check_before_data(cfg: DictConfig, run: Path) -> None:
    """Compares what can be compared before the images are read: the version, files of weights.

    Raises:
        ConfigError: they are others than when the run began, and nothing says to go on.
    """
    now: dict[str, Any] = {"version": package_version(), "weights": _weights(cfg, run)}
    _refuse_others(cfg, run, _stored(run), now)


def keep_dependencies(
    cfg: DictConfig, run: Path, images: Mapping[str, Sequence["Item"]], *, joined: Sequence[str]
) -> None:
    """Compares all that a run depends on with what it began with, or records it.

    Args:
        cfg: the composed configuration.
        run: its directory; which runs its teachers are is known there.
        images: split -> its readable images, in order.
        joined: images that are there, though in no split.

    Raises:
        ConfigError: something is another than when the run began, and nothing says to go on.
    """
    from datamodules.cache import file_digests, split_digest

    paths = (item.path for items in images.values() for item in items)
    digests = file_digests(paths, Path(cfg.cache_dir))
    data = {
        split: {"images": len(items), "sha256": split_digest(items, digests)}
        for split, items in images.items()
    }
    if joined:
        names = hashlib.sha256(os.fsencode("\n".join(joined))).hexdigest()
        data[JOINED] = {"images": len(joined), "sha256": names}
    now: dict[str, Any] = {
        "version": package_version(),
        "data": data,
        "weights": _weights(cfg, run),
    }
    stored = _stored(run)
    _refuse_others(cfg, run, stored, now)
    accepted = {**now, "version": stored.get("version")}  # that which began it
    if stored != accepted:
        write_json(run / DEPENDS_ON, accepted)


def _stored(run: Path) -> dict[str, Any]:
    if not (run / DEPENDS_ON).is_file():
        return {}
    try:
        found = read_json(run / DEPENDS_ON)
    except ConfigError:
        found = None
    if not _fits(found):
        raise ConfigError(
            f"{run / DEPENDS_ON} is damaged: remove it, and the run goes on without a comparison."
        )
    return found


def _fits(found: Any) -> bool:
    """Whether that is what is recorded."""
    if not isinstance(found, dict) or not found:
        return False
    data, weights = found.get("data", {}), found.get("weights", {})
    splits = isinstance(data, dict) and all(
        isinstance(split, dict) and "images" in split for split in data.values()
    )
    return splits and isinstance(weights, dict)


def _refuse_others(
    cfg: DictConfig, run: Path, stored: Mapping[str, Any], now: Mapping[str, Any]
) -> None:
    differences = list(_differences(stored, now))
    if differences and not cfg.get("resume_force"):
        raise ConfigError(
            f"{run} would not go on as it began: {'; '.join(differences)}. Put back what was, or "
            "add resume_force=true to go on with what is there now."
        )


def _differences(stored: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    version, known, before = (stored.get(key) for key in ("version", "data", "weights"))
    if version is not None and version != now["version"]:
        yield f"version {version} began it, and this is {now['version']}"
    splits = now.get("data")
    if known is None or splits is None:
        known = splits = {}
    for split in [*known, *(split for split in splits if split not in known)]:
        if known.get(split) != splits.get(split):
            kind, counts = "unused" if split == JOINED else split, (known, splits)
            then, there = (each.get(split, {"images": 0})["images"] for each in counts)
            yield f"the {kind} images are others ({then} then, {there} now)"
    files = now["weights"]
    before = files if before is None else before
    for name in [*before, *(name for name in files if name not in before)]:
        if before.get(name) != files.get(name):
            what = "is gone" if files.get(name) is None else "is another file"
            yield f"{name} {what}"


def _weights(cfg: DictConfig, run: Path) -> dict[str, str | None]:
    """The key that names a network or a file of weights -> sha256; None where it is gone."""
    found: dict[str, Path] = {}
    if cfg.model.get("weights") is not None:
        found["model.weights"] = Path(cfg.model.weights)
    if cfg.get("from_run") is not None:
        found["from_run"] = _network(Path(cfg.from_run))
    for name, node in cfg.teacher.items():
        if node.get("weights") is not None:
            found[f"teacher.{name}.weights"] = Path(node.weights)
    known = run / TEACHERS
    teachers = read_json(known) if known.is_file() else {}
    if not isinstance(teachers, dict):
        raise ConfigError(f"{known} cannot be read; it is damaged.")
    for name, teacher in teachers.items():
        if isinstance(teacher, str):
            found[f"teacher.{name}.run"] = _network(Path(teacher))
    return {name: _sha256(path) for name, path in found.items()}


def _network(run: Path) -> Path:
    places = [folder / name for folder in (run / "model", run) for name in WEIGHTS]
    return next((path for path in places if path.is_file()), places[-1])


def _sha256(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
