"""Images sorted into folders: one folder per split, in it one folder per class."""

from pathlib import Path

from datamodules.errors import DataError
from datamodules.sources.source import Index, Item

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
EXPECTED_TREE = "root/{train,val[,test]}/<class>/*.{jpg,jpeg,png,webp,bmp}"


class ImageFolder:
    """`root/{train,val[,test]}/<class>/image.jpg`; the classes are the sorted folder names."""

    def __init__(self, *, root: str) -> None:
        self.root = Path(root)

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
        classes = {split: _class_folders(folder) for split, folder in self._split_folders().items()}
        names = sorted(folder.name for folder in classes["train"])
        for split, folders in classes.items():
            _require_same_classes(self.root, split, set(names), {f.name for f in folders})
        splits = {
            split: [item for folder in folders for item in _items(folder, names.index(folder.name))]
            for split, folders in classes.items()
        }
        return Index(tuple(names), splits)

    def _split_folders(self) -> dict[str, Path]:
        if not self.root.is_dir():
            raise DataError(
                f"The data folder {self.root} does not exist: set data.root to a folder with "
                f"{EXPECTED_TREE}."
            )
        folders = {split: self.root / split for split in ("train", "val", "test")}
        if not folders["test"].is_dir():
            del folders["test"]
        for split, folder in folders.items():
            if not folder.is_dir():
                raise DataError(
                    f"The data folder {self.root} has no {split} folder: it should look like "
                    f"{EXPECTED_TREE}."
                )
        return folders


def _class_folders(split: Path) -> list[Path]:
    folders = sorted(p for p in split.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise DataError(
            f"The folder {split} holds no class folders: it should look like {EXPECTED_TREE}."
        )
    return folders


def _require_same_classes(root: Path, split: str, train: set[str], other: set[str]) -> None:
    differences = [
        f"only in {where}: {', '.join(sorted(names))}"
        for where, names in (("train", train - other), (split, other - train))
        if names
    ]
    if differences:
        raise DataError(
            f"The train and {split} folders of {root} have different classes "
            f"({'; '.join(differences)}): give both the same class folders."
        )


def _items(folder: Path, label: int) -> list[Item]:
    paths = sorted(str(p) for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise DataError(
            f"The class folder {folder} has no images ({', '.join(sorted(IMAGE_SUFFIXES))}): "
            "fill it or remove it from every split."
        )
    return [Item(path, label, None, path) for path in paths]
