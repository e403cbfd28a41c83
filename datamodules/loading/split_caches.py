"""The splits of a source with their pixels, each cached when it is first asked for."""

import logging
from collections.abc import Mapping
from functools import cached_property, partial
from pathlib import Path

from datamodules.audit import find_look_alikes, warn_of_leakage
from datamodules.cache import CachedSplit, Levels, allow_bad_images, open_cache
from datamodules.decoding import Notices, ResizeMode, warn_of_notices, white
from datamodules.decoding.levels import ALL_BITS
from datamodules.schema import Size
from datamodules.sources import Index, Source
from datamodules.splits import Splitter, pool

log = logging.getLogger(__name__)

LABELLED = ("train", "val", "test", "all")  # all: of what is measured whole


class SplitCaches:
    """Split -> its readable items and their pixels.

    Args:
        source: where the images come from.
        splits: which images are trained, validated and tested on.
        train_size: height and width at which training images are kept.
        eval_size: the same of all others.
        resize_mode: what happens to another aspect ratio: stretch, pad or crop.
        cache_dir: where caches are kept, shared by all runs.
        keep_pixels: keep decoded pixels on disk; else files are decoded for every batch.
        levels: bits in use in samples of more than 8, as a network was trained; None: all 16;
            `found`: as few as hold all training images (with folds, the images of all folds).
    """

    def __init__(
        self,
        source: Source,
        splits: Splitter,
        *,
        train_size: Size,
        eval_size: Size,
        resize_mode: ResizeMode,
        cache_dir: Path,
        keep_pixels: bool,
        levels: Levels = "found",
    ) -> None:
        self.source = source
        self.splits = splits
        self.train_size = train_size
        self.eval_size = eval_size
        self.resize_mode = resize_mode
        self.cache_dir = cache_dir
        self.keep_pixels = keep_pixels
        self._levels = levels
        self._opened: dict[str, CachedSplit] = {}
        self._compared = False  # and said; Lightning prepares the data anew for each fit

    @cached_property
    def index(self) -> Index:
        """What the source found, split, with what joined and went since a saved run."""
        find_copies = partial(find_look_alikes, cache_dir=self.cache_dir)
        return self.splits.apply(self.source.read(), write=True, find_copies=find_copies)

    @property
    def labelled(self) -> list[str]:
        """The splits with labels that there are, training first."""
        return [split for split in LABELLED if split in self.index.splits]

    @property
    def levels(self) -> int | None:
        """Bits in use in samples of more than 8; None: all 16, or no training image has such."""
        if self._levels != "found":
            return self._levels
        return self["train"].levels if "train" in self.index.splits else None

    def __getitem__(self, split: str) -> CachedSplit:
        if split not in self._opened:
            self._opened[split] = self._open(split)
        return self._opened[split]

    def prepare(self, *, max_bad_images: int, audit: str) -> None:
        """Make what the source lacks, then the caches of the labelled splits.

        Args:
            max_bad_images: unreadable files that are skipped with a warning.
            audit: the command that shows the duplicates that a warning of leakage is about.

        Raises:
            DataError: the data cannot be used; the sentence says why.
        """
        self.source.prepare()
        opened = {split: self[split] for split in self.labelled}
        bad = {path: why for split in opened.values() for path, why in split.bad.items()}
        allow_bad_images(bad, max_bad_images)
        if self._compared:
            return
        self._compared = True
        self._say_what_is_odd(opened)
        if self.keep_pixels and len(opened) > 1:
            related = self.index.related
            warn_of_leakage(opened, related=related, cache_dir=self.cache_dir, audit=audit)

    def _say_what_is_odd(self, opened: Mapping[str, CachedSplit]) -> None:
        """How samples of more than 8 bits are read, and which files are read in spite of flaws."""
        pooled = self.splits.num_folds is not None  # then train and val are of one cache
        counted = [cached for split, cached in opened.items() if split != "val" or not pooled]
        deep = sum(cached.deep for cached in counted)
        if deep:
            bits = self.levels or ALL_BITS
            why = "found from the training images" if self._levels == "found" else "as trained"
            log.info(
                f"levels: {deep} image files have more than 8 bits in a sample; they are read as "
                f"{bits} bits, {why}: 0..{white(bits)} becomes 0..255"
            )
        notices: Notices = {}
        for cached in counted:
            for notice, paths in cached.notices.items():
                notices.setdefault(notice, []).extend(paths)
        warn_of_notices(log, notices)

    def _open(self, split: str) -> CachedSplit:
        items, name = self.index.splits[split], split
        if self.splits.num_folds is not None and split in ("train", "val"):
            # One cache for all folds: each picks its own from it.
            items, name = pool(self.index.splits), "folds"
        training = split == "train" or name != split
        cached = open_cache(
            items,
            name=name,
            levels="found" if training and self._levels == "found" else self.levels,
            size=self.train_size if split == "train" else self.eval_size,
            resize_mode=self.resize_mode,
            cache_dir=self.cache_dir,
            keep_pixels=self.keep_pixels,
        )
        return cached if name == split else cached.only(self.index.splits[split])
