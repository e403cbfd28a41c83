"""Fashion-MNIST (Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747), from the files of its publication.

Other sets of 28 x 28 grey images in such files (MNIST, KMNIST) are read with their own class names.
"""

import os
import zlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from datamodules.errors import DataError
from datamodules.files import build_once
from datamodules.schema import declared
from datamodules.sources.idx import IdxFile
from datamodules.sources.source import Index, Item
from datamodules.sources.unpacked import UNPACKED_DIR, read_index, unpacked_folder, write_index
from datamodules.workers import map_in_order, report_progress

if TYPE_CHECKING:
    import numpy as np

# The order of the labels; the words are the authors'.
CLASS_NAMES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
FILES = {"train": "train", "test": "t10k"}  # split -> how its files' names begin
LABELS_CRC = 0x2ED6E46A  # of the 60 000 labels, as published
FOLDERS = (".", "raw", "FashionMNIST/raw")  # the last two as torchvision leaves them


@declared
class FashionMnist:
    """60 000 images to train and validate on (`unsplit`) and the 10 000 of the official test.

    Attributes:
        root: folder of the four idx files, packed by gzip or not.
        class_names: another set's names, in the order of its labels; null are this one's.
        unpacked_dir: where the images are written out, once, as grey PNG files.
        how_to_get: sentence for a user who has no such files yet.
    """

    place: ClassVar[str] = "data.source"

    root: str
    class_names: Sequence[str | int] | None = None
    unpacked_dir: str = UNPACKED_DIR
    how_to_get: str = ""

    def __post_init__(self) -> None:
        names = CLASS_NAMES if self.class_names is None else self.class_names
        self._names = tuple(str(name) for name in names)
        if len(set(self._names)) < len(self._names) or len(self._names) < 2:
            raise DataError(
                f"data.source.class_names={list(self._names)} are not two or more different names."
            )

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
        paths = [file.path for pair in self._files.values() for file in pair]
        return unpacked_folder(self.unpacked_dir, "fashion_mnist", paths, list(self._names))

    def check(self) -> tuple[str, ...]:
        """The class names; `DataError` for what headers and lengths of the files show."""
        for images, labels in self._files.values():
            if images.shape[:1] != labels.shape:
                raise DataError(
                    f"{images.path} holds {images.shape[0]:,} images and {labels.path} "
                    f"{labels.shape[0]:,} labels: they are of two data sets; get both again."
                )
            images.require_whole()
            labels.require_whole()
        return self._names

    def prepare(self) -> None:
        """Write the images out unless they are there.

        Raises:
            DataError: a file is damaged, or holds labels without a name.
        """
        self.check()
        build_once(self.folder, self._write)

    def read(self) -> Index:
        """The images: `unsplit`, and the official `test`."""
        return read_index(self.folder)

    @cached_property
    def _files(self) -> dict[str, tuple[IdxFile, IdxFile]]:
        """Images and labels of both splits."""
        root = Path(self.root)
        if not root.is_dir():
            raise DataError(
                f"The data folder {root} does not exist: set data.root to the folder of the idx "
                f"files. {self.how_to_get}".strip()
            )
        return {
            split: (
                IdxFile(self._find(root, f"{name}-images", 3), 3),
                IdxFile(self._find(root, f"{name}-labels", 1), 1),
            )
            for split, name in FILES.items()
        }

    def _find(self, root: Path, name: str, dimensions: int) -> Path:
        names = [
            f"{name}{separator}idx{dimensions}-ubyte{suffix}"
            for separator in "-."
            for suffix in ("", ".gz")
        ]
        for folder in FOLDERS:
            for file in names:
                # Some unpackers make a folder of the file's name around it.
                for path in (root / folder / file, root / folder / file / file):
                    if path.is_file():
                        return path
        raise DataError(
            f"{root} has no {names[0]} or {names[1]}, which Fashion-MNIST consists of. "
            f"{self.how_to_get}".strip()
        )

    def _write(self, folder: Path) -> None:
        splits, sources = {}, {}
        for split, (images, labels) in self._files.items():
            target = "unsplit" if split == "train" else split
            sources[target] = images.path.name
            splits[target] = self._write_split(folder, split, images, labels)
        write_index(folder, Index(self._names, splits, notes=self._notes(), sources=sources))

    def _write_split(
        self, folder: Path, split: str, images: IdxFile, labels: IdxFile
    ) -> list[Item]:
        numbers = labels.array().tolist()
        if max(numbers, default=0) >= len(self._names):
            raise DataError(
                f"{labels.path} holds the label {max(numbers)}, and there are {len(self._names)} "
                "class names, from 0: name them all by data.source.class_names=[...]."
            )
        (folder / split).mkdir()
        paths = [f"{split}/{number:05d}.png" for number in range(len(numbers))]
        jobs = zip((f"{folder}{os.sep}{path}" for path in paths), images.array(), strict=True)
        written = map_in_order(_write_png, jobs)
        job = f"Writing {len(paths):,} {split} images into {self.folder}"
        for _ in report_progress(written, total=len(paths), job=job):
            pass
        return [Item(p, label, None, p) for p, label in zip(paths, numbers, strict=True)]

    def _notes(self) -> tuple[str, ...]:
        labels = self._files["train"][1]
        if self.class_names is not None or zlib.crc32(labels.array().tobytes()) == LABELS_CRC:
            return ()
        return (
            f"{labels.path} holds other labels than Fashion-MNIST's, and they are read by its "
            "class names; of another set give data.source.class_names=[...], in their order",
        )


def _write_png(job: tuple[str, "np.ndarray"]) -> None:
    from PIL import Image

    path, pixels = job
    Image.fromarray(pixels).save(path, compress_level=1)
