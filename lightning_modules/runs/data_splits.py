"""From the configuration to the splits of its data; imports no torch."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from datamodules.splits import Splits, list_digest
from lightning_modules.errors import ConfigError
from lightning_modules.registry import build_part, plain, takes

FOLD_KEYS = ("fold", "num_folds", "train_on_all")
SPLIT_KEYS = ("split", *FOLD_KEYS, "exclude")
# Settings of sources that came later: at these values the data are those of before.
LATER_SETTINGS: dict[str, Any] = {
    "boxes": "auto",
    "box_format": "xywh",
    "missing": "refuse",
    "classes": None,
    "exclude": [],
}
LATER = {"groups": "auto", "unlisted": "leave_out"}  # keys that came later, with their defaults
SOURCE = ("is_made", "check", "prepare", "read")  # what `datamodules.sources.Source` has
# Settings of sources that say where things lie, which is no part of which data they are.
PLACE_SETTINGS = ("own_folders", "unpacked_dir")


def make_splits(cfg: DictConfig, *, record: Path | None = None, remembers: bool = True) -> Splits:
    """The splits that `cfg.data` describes.

    They are remembered below the cache, one file for each source and each way to share it out, so
    that images which join later change no split of a later run.

    Args:
        cfg: the composed configuration.
        record: of the run or study; see `Splits`.
        remembers: whether the memory is followed.
    """
    exclude = cfg.data.get("exclude")  # runs saved by earlier versions lack it
    return Splits(
        **plain(cfg.data.split),
        **{key: cfg.data[key] for key in FOLD_KEYS},
        exclude=exclude,
        memory=memory_file(cfg) if remembers else None,
        record=record,
        record_key=memory_file(cfg).stem,
        root=source_identity(cfg.data).get("root"),
    )


def memory_file(cfg: DictConfig) -> Path:
    """Below the cache: what runs of the same data, split in the same way, remember of it."""
    identity = [source_identity(cfg.data), split_identity(cfg.data)]
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
    return Path(cfg.cache_dir) / "splits" / f"{cfg.data.name}_{digest}.csv"


def build_source(data: DictConfig) -> Any:
    """The source that `cfg.data` describes, without what it inherits and does not take.

    A data set of one's own may derive from `image_folder`, whose settings grow.

    Raises:
        ConfigError, DataError: it cannot be built, or is no source.
    """
    settings = plain(data.source)
    node = {k: v for k, v in settings.items() if not _is_neutral(k, v) or takes(settings, k)}
    return build_part(node, "data source", "data.source", SOURCE)


def source_identity(data: DictConfig) -> dict[str, Any]:
    """The source's settings, with an absolute root.

    Raises:
        ConfigError: its root is no path.
    """
    source = {k: v for k, v in plain(data.source).items() if not _is_neutral(k, v)}
    if "root" in source:
        if not isinstance(source["root"], str):
            raise ConfigError(f"data.source.root={source['root']} is no folder; name one.")
        source["root"] = os.path.realpath(source["root"])
    return source


def _is_neutral(key: str, value: Any) -> bool:
    """Whether a setting of a source says nothing of which data it is."""
    return key in PLACE_SETTINGS or LATER_SETTINGS.get(key, ...) == value


def split_identity(data: DictConfig) -> dict[str, Any]:
    """How images are shared out: what earlier versions did not know only where it is changed."""
    settings = plain(data.split)
    return {key: value for key, value in settings.items() if LATER.get(key, ...) != value}


def data_identity(data: DictConfig) -> dict[str, Any]:
    """What makes two runs' data the same: the source and how it is split; of paths only a digest.

    It is kept in `network.yaml`, which goes to other people and other machines.
    """
    splits = {key: data[key] for key in FOLD_KEYS}
    split = {**split_identity(data), **splits}
    identity = {"name": data.name, "source": source_identity(data), "split": split}
    if data.get("exclude") is not None:
        identity["exclude"] = list_digest(data.exclude)
    found: dict[str, Any] = without_paths(identity)
    return found


def without_paths(node: Any) -> Any:
    """A copy of plain data in which digests stand for the absolute paths of this machine."""
    if isinstance(node, dict):
        return {key: without_paths(value) for key, value in node.items()}
    if isinstance(node, list):
        return [without_paths(value) for value in node]
    if isinstance(node, str) and (node.startswith("~") or Path(node).is_absolute()):
        return f"path sha256 {hashlib.sha256(os.fsencode(node)).hexdigest()[:16]}"
    return node
