"""Which images a run was trained on, as its `splits.csv` says; needs no torch.

Runs of earlier versions have none: what the cache remembers stands for it, as long as it is there.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from datamodules.sources import Index, Item
from datamodules.splits import SplitRecord, Splits, read_memory, read_split_file
from lightning_modules.registry import plain
from lightning_modules.runs.data_splits import make_splits, memory_file, source_identity
from lightning_modules.runs.run_files import RECORD, find_record, lead_to_data
from lightning_modules.runs.saved_run import read_config

SAME = 0.5  # of the recorded images, which make a folder the run's own data


def trained_on(run: Path) -> "TrainedOn":
    """What is known of the images that a run was trained on; nothing where its files are gone.

    Raises:
        ConfigError, DataError: a file of the run is damaged.
    """
    cfg, file = read_config(run / ".hydra" / "config.yaml"), find_record(run)
    lead_to_data(cfg, run)
    record = read_memory(memory_file(cfg)) if file is None else read_split_file(file)
    entered = Path(cfg.from_run) if cfg.get("from_run") else None
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
        """Whether this is the run's data: of its source, or with most of its images by name."""
        if source_identity(data) == source_identity(self.cfg.data):
            return True
        recorded = self.record.split_of.keys()
        there = {item.group for items in index.splits.values() for item in items}
        return bool(recorded) and len(recorded & there) >= SAME * len(recorded)

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
            own: whether the run's images are known by name; else only the same files count.
        """
        names = set(self._trained_names())
        root = self.record.root
        files = set() if root is None else {f"{root}/{name}" for name in names}
        found = {
            item
            for item in items
            if (own and item.group in names) or os.path.realpath(item.path) in files
        }
        if self.before is not None:
            found |= set(self.before.trained(items, own=own))
        return [item for item in items if item in found]

    def _trained_names(self) -> Iterator[str]:
        data, record = self.cfg.data, self.record
        fold_of = record.fold_of.get(data.num_folds, {}) if data.num_folds is not None else {}
        taken = ("train", "val") if data.train_on_all or fold_of else ("train",)
        for name, split in record.split_of.items():
            if split in taken and (not fold_of or fold_of.get(name) != str(data.fold)):
                yield name
