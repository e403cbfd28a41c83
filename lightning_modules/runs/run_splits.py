"""The splits of a run that is being made: kept in its folder, or once for all trials of a study."""

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from datamodules.errors import shown
from datamodules.sources import Index
from datamodules.splits import FindCopies, keep_list, list_path, read_split_file, write_split_file
from lightning_modules.runs.data_splits import make_splits, memory_file
from lightning_modules.runs.run_files import EXCLUDED, RECORD, find_record, run_of
from lightning_modules.runs.trained_images import TrainedOn, trained_on

log = logging.getLogger(__name__)

EVALUATED = ("val", "test")


@dataclass(frozen=True)
class RunSplits:
    """What `make_splits` describes, kept with the run: a run that is resumed splits as it did.

    A run that starts from another one's network splits as that one did, as long as the data is
    the same and nothing else is asked for: else it would be measured on what it was trained on.

    Attributes:
        cfg: the composed configuration.
        folder: the run directory; None where nothing is to be kept.
        study: the folder of a multirun, whose trials share one record, so that all are measured on
            the same images. Trials that sweep over the data or its split keep their own.
        writes: whether this process keeps anything; of several that train together only one does.
    """

    cfg: DictConfig
    folder: Path | None
    study: Path | None = None
    writes: bool = True

    @property
    def num_folds(self) -> int | None:
        """Of the configuration."""
        folds: int | None = self.cfg.data.num_folds
        return folds

    def apply(
        self, index: Index, *, write: bool = False, find_copies: FindCopies | None = None
    ) -> Index:
        """The index in the splits of the run; `write` keeps them in its folder.

        Raises:
            DataError: see `Splits.apply`.
        """
        write = write and self.writes
        with self._locked() if write and self.study is not None else nullcontext():
            return self._apply(index, write, find_copies)

    def _apply(self, index: Index, write: bool, find_copies: FindCopies | None) -> Index:
        record, entered = self._record(), self._entered()
        same = entered is not None and entered.has(self.cfg.data, index)
        if write:
            self._keep_excluded()
        if entered is not None and same and entered.file is not None:
            if asked := entered.other_split(self.cfg):
                _say(write, f"{', '.join(asked)} makes another split than that of {entered.run}.")
            elif record is None or not record.is_file():
                record = self._copied(entered, index, record) if write else entered.file
        elif entered is not None and not same:
            _say(write, f"This is other data than that of {entered.run}: it is split anew.")
        splits = make_splits(self.cfg, record=record)
        if write and record is not None and record.parent == self.study and not record.is_file():
            # Before anything is left out, which other trials may have: all share what is kept.
            every = replace(splits, exclude=None, train_on_all=False)
            every.apply(index, write=True, find_copies=find_copies)
        found = splits.apply(index, write=write, find_copies=find_copies)
        if entered is not None and write:
            _warn_of_trained(found, entered, same=same)
        return found

    def _record(self) -> Path | None:
        """Where the split is kept, and may be already."""
        own = None if self.folder is None else self.folder / RECORD
        if self.study is None or (own is not None and own.is_file()):
            return own
        shared = self.study / RECORD
        if shared.is_file() and read_split_file(shared).key != memory_file(self.cfg).stem:
            return own
        return shared

    def _entered(self) -> TrainedOn | None:
        """The run that this one starts from; None where it says nothing of its data."""
        if self.cfg.from_run is None:
            return None
        run = run_of(Path(self.cfg.from_run))
        return trained_on(run) if (run / ".hydra" / "config.yaml").is_file() else None

    def _copied(self, entered: TrainedOn, index: Index, record: Path | None) -> Path:
        """The record of the entered run, now this run's: the images may have moved meanwhile."""
        assert entered.file is not None
        if record is None:
            return entered.file
        splits, count = make_splits(self.cfg, record=entered.file), self.num_folds
        fold_of = dict(entered.record.fold_of)
        if count is not None and count not in fold_of:
            folds = [replace(splits, fold=n).apply(index).splits["val"] for n in range(count)]
            fold_of[count] = {item.group: str(n) for n, items in enumerate(folds) for item in items}
        name = memory_file(self.cfg).stem
        kept = replace(entered.record, fold_of=fold_of, root=splits.root, key=name)
        write_split_file(record, kept)
        return record

    def hand_on(self, folder: Path) -> None:
        """Copies the record to another run's folder, for that run to split as this one does."""
        record = self._record()
        if record is not None and record.is_file():
            write_split_file(folder / RECORD, read_split_file(record))

    def _keep_excluded(self) -> None:
        excluded = self.cfg.data.get("exclude")
        if excluded is not None and self.folder is not None:
            keep_list(list_path(excluded), self.folder / EXCLUDED)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One trial at a time: the next one finds what this one kept."""
        from filelock import FileLock  # only while something is kept

        name = hashlib.sha256(os.fsencode(str(self.study))).hexdigest()[:12]
        lock = Path(self.cfg.cache_dir) / "splits" / f"{name}.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock):
            yield


def planned_splits(cfg: DictConfig) -> RunSplits:
    """The splits of the run that a composed command is about to start, to be checked only.

    A new run, or study, has no folder yet.
    """
    if "hydra" not in cfg and HydraConfig.initialized():
        hydra = HydraConfig.get()
        if hydra.mode == RunMode.MULTIRUN:
            study, folder = Path(hydra.sweep.dir), Path(hydra.runtime.output_dir)
            return RunSplits(cfg, folder, study, writes=False)
    resumed = None if cfg.resume is None else Path(cfg.resume)
    return RunSplits(cfg, resumed, writes=False)


def kept_splits(cfg: DictConfig, folder: Path) -> RunSplits:
    """The splits of a run that another process of this run's keeps."""
    record = find_record(folder)
    shared = record is not None and record.parent != folder
    return RunSplits(cfg, folder, record.parent if record and shared else None, writes=False)


def _say(write: bool, sentence: str) -> None:
    if write:
        log.warning(shown(sentence))


def _warn_of_trained(found: Index, entered: TrainedOn, *, same: bool) -> None:
    """Says what the network that a run starts from has seen of the images it is measured on."""
    for split in EVALUATED:
        items = found.splits.get(split, [])
        if seen := entered.trained(items, own=same):
            log.warning(
                shown(
                    f"{len(seen):,} of the {len(items):,} {split} images were trained on by "
                    f"{entered.run} (the first: {seen[0].group}), which flatters the metrics."
                )
            )
    if same and not entered.is_known:
        log.warning(shown(entered.unknown))
