"""Data sets that `datasets`, pandas or WebDataset stored, written out once as plain image files."""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from datamodules.errors import DataError
from datamodules.files import build_once
from datamodules.schema import declared
from datamodules.sources.huggingface.arrow_samples import ArrowSamples
from datamodules.sources.huggingface.samples import Sample, StoredSamples
from datamodules.sources.huggingface.stored_files import StoredFiles, stored_files
from datamodules.sources.huggingface.webdataset import WebDatasetSamples
from datamodules.sources.omissions import Omissions
from datamodules.sources.source import Index, Item
from datamodules.sources.tables.labels import classes_of
from datamodules.sources.unpacked import UNPACKED_DIR, read_index, unpacked_folder, write_index
from datamodules.workers import report_progress

SUFFIX_OF = {  # how the bytes of an image begin -> the suffix of its file
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG": ".png",
    b"GIF8": ".gif",
    b"BM": ".bmp",
    b"RIFF": ".webp",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
}
LONGEST_NAME = 150  # characters; systems allow 255 bytes


@declared
class HuggingFace:
    """Local Parquet files, folders of `save_to_disk`, and WebDataset tars.

    The encoded bytes of each image are written to a file as they are. Nothing comes from a
    network, and nothing pickled is opened.

    Attributes:
        root: a file, a folder, or a pattern of files such as `shards/train-*.tar`. Splits are told
            by the names of files and folders.
        image_column: of the images (in tars their extension); null finds it.
        label_column: of the classes (in tars an extension or a key of the JSON); null finds it.
        class_names: names of labels that are numbers, in their order, where the files say none.
        unpacked_dir: where the images are written out, once.
    """

    place: ClassVar[str] = "data.source"

    root: str
    image_column: str | None = None
    label_column: str | None = None
    class_names: Sequence[str | int] | None = None
    unpacked_dir: str = UNPACKED_DIR

    @property
    def is_made(self) -> bool:
        """Whether the images are written out."""
        try:
            return self.folder.is_dir()
        except DataError:  # `check` says it
            return False

    @cached_property
    def folder(self) -> Path:
        """Where they are."""
        settings = [self.image_column, self.label_column, list(map(str, self.class_names or ()))]
        return unpacked_folder(self.unpacked_dir, "huggingface", self._stored.all, settings)

    def check(self) -> tuple[str, ...]:
        """The class names; `DataError` for what files, columns and labels show.

        Images are not read for that.
        """
        return read_index(self.folder).class_names if self.folder.is_dir() else self._classes[0]

    def prepare(self) -> None:
        """Write the images out unless they are there.

        Raises:
            DataError: a file is damaged, or an image that is stored as a path is not there.
        """
        build_once(self.folder, self._write)

    def read(self) -> Index:
        """The images as the files say their splits."""
        return read_index(self.folder)

    @cached_property
    def _stored(self) -> StoredFiles:
        return stored_files(self.root)

    @cached_property
    def _samples(self) -> StoredSamples:
        columns = {"image_column": self.image_column, "label_column": self.label_column}
        if self._stored.kind == "tar":
            return WebDatasetSamples(self._stored.splits, root=self._stored.root, **columns)
        return ArrowSamples(self._stored.splits, **columns)

    @cached_property
    def _classes(self) -> tuple[tuple[str, ...], Mapping[int | str, int]]:
        """The class names, and what the files say of a class -> its index."""
        names = self.class_names or self._samples.class_names
        if names is not None:
            named = tuple(str(name) for name in names)
            index_of: dict[int | str, int] = {}
            for number in range(len(named)):
                index_of |= {number: number, str(number): number}
            index_of |= {name: number for number, name in enumerate(named)}
            return named, index_of
        labels = [
            str(label)
            for split in self._samples.counts()
            for label in self._samples.labels(split)
            if label is not None
        ]
        if not labels:
            raise DataError(
                f"{self.root} gives no image a class: name the classes by "
                "data.source.label_column=..."
            )
        found = classes_of(self._stored.all[0], "of classes", labels)
        named = tuple(dict.fromkeys(found.values()))
        return named, {label: named.index(name) for label, name in found.items()}

    def _write(self, folder: Path) -> None:
        splits: dict[str, list[Item]] = {}
        omissions = Omissions()
        for split, count in self._samples.counts().items():
            (folder / split).mkdir()
            files = _FileNames(split)
            job = f"Writing {count:,} {split} images into {self.folder}"
            samples = self._samples.samples(split)
            for sample in report_progress(samples, total=count, job=job):
                label = self._index_of(sample)
                target = "predict" if label < 0 and split == "test" else split
                if sample.content is None and sample.path is None:
                    omissions.add("rows without an image", sample.name)
                elif label < 0 and target != "predict":
                    omissions.add("images without a class", sample.name)
                else:
                    item = self._item(folder, files, sample, label)
                    splits.setdefault(target, []).append(item)
        write_index(
            folder,
            Index(
                class_names=self._classes[0],
                splits=splits,
                left_out=(
                    *self._stored.left_out,
                    *self._samples.left_out,
                    *omissions.left_out(),
                ),
                notes=self._samples.notes,
                sources=self._stored.sources,
            ),
        )

    def _index_of(self, sample: Sample) -> int:
        if sample.label is None:
            return -1
        names, index_of = self._classes
        if sample.label not in index_of:
            raise DataError(
                f"An image of {self.root} has the class {sample.label!r}, which is none of the "
                f"{len(names)} class names: name them all by data.source.class_names=[...]."
            )
        return index_of[sample.label]

    def _item(self, folder: Path, files: "_FileNames", sample: Sample, label: int) -> Item:
        if sample.content is not None:
            name = files.next(sample.name, sample.content)
            (folder / name).write_bytes(sample.content)
            return Item(name, label, None, name)
        path = self._stored.root / str(sample.path)
        if not path.is_file():
            raise DataError(
                f"{self.root} holds only the path of an image, {sample.path}, and it is not there: "
                "save the data set with its images, or put them there."
            )
        return Item(str(path.absolute()), label, None, str(sample.path))


class _FileNames:
    """Names of the files of a split: those that the images had, and numbers where they had none."""

    def __init__(self, split: str) -> None:
        self.split = split
        self.number = 0
        self._taken: set[str] = set()

    def next(self, name: str, content: bytes) -> str:
        """`split/name`; another one where there is such a file already."""
        stem, dot, suffix = re.sub(r"[\\/\0]", "_", name).strip(". ").rpartition(".")
        stem = stem if dot else suffix
        known = (end for start, end in SUFFIX_OF.items() if content.startswith(start))
        end = f".{suffix.lower()}" if dot else next(known, ".img")
        number = f"{self.number:06d}"
        self.number += 1
        if not stem or len(stem) > LONGEST_NAME:
            stem = number
        if (stem + end).casefold() in self._taken:
            stem = f"{stem}_{number}"
        self._taken.add((stem + end).casefold())
        return f"{self.split}/{stem}{end}"
