"""Which images a run was trained on, as its `splits.csv` says; needs no torch.

Runs of earlier versions have none: what the cache remembers stands for it, as long as it is there.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from omegaconf import DictConfig

from datamodules.sources import Index, Item
from datamodules.splits import SplitRecord, Splits, read_memory, read_split_file
from lightning_modules.errors import USER_ERRORS
from lightning_modules.registry import plain
from lightning_modules.runs.data_splits import (
    build_source,
    make_splits,
    memory_file,
    source_identity,
)
from lightning_modules.runs.run_files import RECORD, find_record, lead_to_data, run_of
from lightning_modules.runs.saved_run import OWN_CODE, read_config

SAME = 0.5  # of the recorded images, which make a folder the run's own data
COMPARED = 20  # files at most


def trained_on(run: Path) -> "TrainedOn":
    """What is known of the images that a run was trained on; nothing where its files are gone.

    Raises:
        ConfigError, DataError: a file of the run is damaged.
    """
    run = run_of(run)
    cfg, file = read_config(run / ".hydra" / "config.yaml"), find_record(run)
    lead_to_data(cfg, run)
    record = read_memory(memory_file(cfg)) if file is None else read_split_file(file)
    entered = run_of(Path(cfg.from_run)) if cfg.get("from_run") else None
    known = entered is not None and (entered / ".hydra" / "config.yaml").is_file()
    return TrainedOn(run, cfg, file, record, trained_on(entered) if entered and known else None)


@dataclass(frozen=True)
class TrainedOn:
    """The images that a run was trained and measured on.

    Attributes:
        run: its directory.
        cfg: its configuration, as it was started.
        file: its record; None in runs of earlier versions.
        record: what is in it, or in the memory of the cache in its place.
        before: the same of the run that it started from, as far as it is known.
    """

    run: Path
    cfg: DictConfig
    file: Path | None
    record: SplitRecord
    before: "TrainedOn | None" = None

    @property
    def unknown(self) -> str:
        """The sentence where nothing says it."""
        return (
            f"{self.run} has no {RECORD}, as runs of earlier versions: whether it was trained on "
            "some of these images is not known."
        )

    @property
    def is_known(self) -> bool:
        """Whether anything says which images were trained on."""
        return bool(self.record.split_of)

    def has(self, data: DictConfig, index: Index) -> bool:
        """Whether this is the run's data: of its source, or with most of its images.

        Images that have moved are known by their names, as `cat/001.jpg` below the root. Others
        may be called so too: as long as the run's own are where they were, files are compared too.
        """
        if source_identity(data) == source_identity(self.cfg.data):
            return True
        recorded = self.record.split_of.keys()
        path_of = {item.group: item.path for items in index.splits.values() for item in items}
        common = sorted(recorded & path_of.keys())
        if not common or len(common) < SAME * len(recorded):
            return False
        compared = [n for n in common[:: len(common) // COMPARED + 1] if n in self._path_of]
        same = [name for name in compared if _same_file(path_of[name], self._path_of[name])]
        return len(same) >= SAME * len(compared)

    @cached_property
    def _path_of(self) -> dict[str, str]:
        """Image -> its file where the run had it, as far as it is there still."""
        if not str(self.cfg.data.source.get("_target_")).startswith(OWN_CODE["data"]):
            return {}  # a saved run must not choose what is executed here
        try:
            source = build_source(self.cfg.data)
            found = source.read().splits if source.is_made else {}
        except USER_ERRORS:
            return {}
        return {item.group: item.path for items in found.values() for item in items}

    def splits(self, cfg: DictConfig) -> Splits:
        """The run's splits for a command's configuration, or the new ones that it asks for."""
        if self.other_split(cfg):
            return make_splits(cfg, remembers=False)
        return make_splits(cfg, record=self.file)

    def other_split(self, cfg: DictConfig) -> list[str]:
        """The settings that ask for another split than the run's, as `data.split.seed=1`."""
        asked, own = plain(cfg.data.split), plain(self.cfg.data.split)
        usual = {name: getattr(Splits, name, None) for name in asked}
        return [
            f"data.split.{name}={value}"
            for name, value in asked.items()
            if value not in (own.get(name, usual[name]), usual[name])
        ]

    def trained(self, items: Iterable[Item], *, own: bool) -> list[Item]:
        """Those of some images that the run, or the one that it started from, was trained on.

        Args:
            items: images.
            own: whether the run's images are known by name; else only the same files, and their
                copies of the same name, count.
        """
        items, names = list(items), set(self._trained_names())
        root = self.record.root
        files = set() if root is None else {f"{root}/{name}" for name in names}

        def is_trained(item: Item) -> bool:
            if own:
                return item.group in names
            if os.path.realpath(item.path) in files:
                return True
            there = self._path_of.get(item.group) if item.group in names else None
            return there is not None and _same_file(item.path, there)

        found = {item for item in items if is_trained(item)}
        if (before := self.before) is not None:
            same = source_identity(before.cfg.data) == source_identity(self.cfg.data)
            found |= set(before.trained(items, own=own and same))
        return [item for item in items if item in found]

    def _trained_names(self) -> Iterator[str]:
        data, record = self.cfg.data, self.record
        fold_of = record.fold_of.get(data.num_folds, {}) if data.num_folds is not None else {}
        taken = ("train", "val") if data.train_on_all or fold_of else ("train",)
        for name, split in record.split_of.items():
            if split in taken and (not fold_of or fold_of.get(name) != str(data.fold)):
                yield name


def _same_file(one: str, other: str) -> bool:
    """Whether two files hold the same bytes."""
    paths = Path(one), Path(other)
    try:
        sizes = [path.stat().st_size for path in paths]
        return sizes[0] == sizes[1] and paths[0].read_bytes() == paths[1].read_bytes()
    except OSError:
        return False
