"""Images sorted into folders, one folder per class, with or without a folder per split."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from datamodules.errors import DataError
from datamodules.sources.source import Index, Item

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
EXPECTED_TREE = "root/[train/]<class>/*.{jpg,png,...} and, where you have them, root/{val,test}"
SPLITS = ("train", "val", "test")


class ImageFolder:
    """Class folders of images, below `train/`, `val/` and `test/` or below the root itself.

    What has no `val/` is left unsplit. A `test/` that holds images instead of class folders is
    unlabelled, for prediction. Class folders may hold further folders; links to folders inside
    them are not followed, so that no loop can be entered. Hidden files and folders are left out.

    Args:
        root: the folder.
        how_to_get: sentence for a user who has no such data yet.
    """

    is_made = True

    def __init__(self, *, root: str, how_to_get: str = "") -> None:
        self.root = Path(root)
        self.how_to_get = how_to_get

    def check(self) -> tuple[str, ...]:
        """The class names; `DataError` unless every split has them all, each with an image."""
        return self.read().class_names

    def prepare(self) -> None:
        """Nothing to make: the images are the user's."""

    def read(self) -> Index:
        """List the folders.

        Raises:
            DataError: the root, a split or a class is missing, empty or differs between splits.
        """
        folders = self._labelled_folders()
        classes = {split: self._class_folders(folder) for split, folder in folders.items()}
        first = "unsplit" if "unsplit" in classes else "train"
        for split in classes:
            _require_same_classes(folders[first], folders[split], classes[first], classes[split])
        names = sorted(classes[first])
        splits = {
            split: [item for name in names for item in self._items(found[name], names.index(name))]
            for split, found in classes.items()
        }
        if self._test_is_unlabelled():
            splits["predict"] = self._items(self.root / "test", -1)
        return Index(tuple(names), splits)

    def _labelled_folders(self) -> dict[str, Path]:
        if not self.root.is_dir():
            raise DataError(
                f"The data folder {self.root} does not exist: set data.root to a folder with "
                f"{EXPECTED_TREE}. {self.how_to_get}".strip()
            )
        folders = {split: self.root / split for split in SPLITS if (self.root / split).is_dir()}
        if self._test_is_unlabelled():
            del folders["test"]
        if "train" not in folders and "val" in folders:
            raise DataError(f"The data folder {self.root} has a val folder but no train folder.")
        if "train" not in folders:
            folders["unsplit"] = self.root
        elif "val" not in folders:
            folders["unsplit"] = folders.pop("train")
        return folders

    def _class_folders(self, split: Path) -> dict[str, Path]:
        """Class name -> its folder; beside class folders, `test` is none."""
        beside = {"test"} if split == self.root else set()
        folders = {p.name: p for p in _subfolders(split) if p.name not in beside}
        if not folders:
            raise DataError(
                f"The folder {split} holds no class folders: it should look like {EXPECTED_TREE}."
            )
        return folders

    def _test_is_unlabelled(self) -> bool:
        folder = self.root / "test"
        return folder.is_dir() and not _subfolders(folder) and any(image_files(folder))

    def _items(self, folder: Path, label: int) -> list[Item]:
        paths = sorted(image_files(folder))
        if not paths:
            raise DataError(
                f"The class folder {folder} has no images ({', '.join(IMAGE_SUFFIXES)}): "
                "fill it or remove it from every split."
            )
        return [Item(p, label, None, Path(p).relative_to(self.root).as_posix()) for p in paths]


def _subfolders(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")]


def _require_same_classes(
    first: Path, other: Path, expected: Mapping[str, Path], found: Mapping[str, Path]
) -> None:
    differences = [
        f"only in {where.name}: {', '.join(sorted(names))}"
        for where, names in (
            (first, expected.keys() - found.keys()),
            (other, found.keys() - expected.keys()),
        )
        if names
    ]
    if differences:
        raise DataError(
            f"The folders {first} and {other} have different classes "
            f"({'; '.join(differences)}): give both the same class folders."
        )


def image_files(folder: Path) -> Iterator[str]:
    """The images below a folder, in no order; hidden files and folders are left out."""
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES):
                yield f"{parent}{os.sep}{name}"
