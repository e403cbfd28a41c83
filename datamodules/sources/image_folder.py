"""Images sorted into folders, one folder per class, with or without a folder per split."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from datamodules.errors import DataError
from datamodules.sources.formats import IMAGE_SUFFIXES as IMAGE_SUFFIXES
from datamodules.sources.layout.class_folders import EXPECTED_TREE
from datamodules.sources.layout.layout import Layout, understand
from datamodules.sources.listing import UNLISTABLE, Folder, Sieve, list_folder
from datamodules.sources.omissions import Omissions
from datamodules.sources.source import Index, Item, LeftOut
from datamodules.sources.unpacked import unpacked_folder

# Where `conf/config.yaml` puts what this program makes.
OWN_FOLDERS = (("OUTPUTS", "outputs"), ("DATA", "data"), ("CACHE", ".cache"))


class ImageFolder:
    """Class folders of images, below `train/`, `val/` and `test/` or below the root itself.

    The splits' folders may have any of their usual names, in any case (`split_names.py`). What has
    no `val/` is left unsplit. A `test/` that holds images instead of class folders is unlabelled,
    for prediction. Class folders may hold further folders, and links to some. Hidden files and
    folders, what systems leave there, and what is no image are left out and counted.

    Args:
        root: the folder, or an archive of it (zip, tar, tar.gz).
        classes: a file that lists the classes to read, in the order of their labels; other class
            folders are left out, and each of its own must be there. None reads all, sorted.
        exclude: folders and files that are left out: names, or paths relative to the root; `*`
            stands for anything.
        own_folders: where this program keeps what it makes: no images of the user, where they lie
            in the root. None takes those of the environment.
        unpacked_dir: where archives are unpacked, once. None takes the cache of the environment.
        how_to_get: sentence for a user who has no such data yet.

    Raises:
        DataError: a setting is of another kind.
    """

    def __init__(
        self,
        *,
        root: str,
        classes: str | None = None,
        exclude: str | Sequence[str] | None = None,
        own_folders: Sequence[str] | None = None,
        unpacked_dir: str | None = None,
        how_to_get: str = "",
    ) -> None:
        self.root = Path(root)
        self.classes = None if classes is None else Path(str(classes))
        names = [exclude] if isinstance(exclude, str) else list(exclude or ())
        if not all(isinstance(name, str) and name.strip("/.") for name in names):
            raise DataError(
                f"data.source.exclude={exclude} is no list of names: give folders or files of the "
                "root, as in data.source.exclude=[notes,old/scans]."
            )
        self.exclude = names
        self.own_folders = list(_own_folders() if own_folders is None else own_folders)
        self.unpacked_dir = unpacked_dir or f"{_own_folders()[-1]}/unpacked"
        self.how_to_get = how_to_get

    @property
    def is_made(self) -> bool:
        """Whether an archive, if the root is one, is unpacked."""
        return not self._is_archive or self._unpacked.is_dir()

    def check(self) -> tuple[str, ...]:
        """The class names; `DataError` unless every split has them all, each with an image."""
        return self._class_names(self._layout(Omissions()))

    def prepare(self) -> None:
        """Unpack the root once, if it is an archive.

        Raises:
            DataError: the archive is damaged or unsafe, or the disk is full.
        """
        if self._is_archive:
            from datamodules.sources.archives import unpack  # the formats of archives

            if not self.is_made:
                self._layout(Omissions())  # what its names show is refused before it is unpacked
            unpack(self.root, self._unpacked)

    def read(self) -> Index:
        """List the folders.

        Raises:
            DataError: the root, a split or a class is missing, empty or differs between splits, or
                a folder could be a split as well as a class.
        """
        omissions = Omissions()
        layout = self._layout(omissions)
        names = self._class_names(layout)
        place = str(self._unpacked if self._is_archive else self.root)
        splits = {
            split: [
                item
                for label, name in enumerate(names)
                for item in _items(place, classes[name], label)
            ]
            for split, classes in layout.splits.items()
        }
        if layout.unlabelled:
            found = [item for folder in layout.unlabelled for item in _items(place, folder, -1)]
            splits["predict"] = found
            layout.sources["predict"] = ", ".join(f"{f.path}/" for f in layout.unlabelled)
        return Index(
            names,
            splits,
            left_out=omissions.left_out(),
            notes=tuple(layout.notes),
            sources=layout.sources,
            nested=_nested(layout),
        )

    @property
    def _is_archive(self) -> bool:
        """Whether the root is a file, which can only be an archive."""
        return os.path.isfile(self.root)  # noqa: PTH113  (no error where none may look)

    @property
    def _unpacked(self) -> Path:
        name = self.root.name.partition(".")[0]
        return unpacked_folder(self.unpacked_dir, name, [self.root])

    def _class_names(self, layout: Layout) -> tuple[str, ...]:
        first = next(iter(layout.splits.values()))
        return self._chosen() or tuple(sorted(first))

    def _chosen(self) -> tuple[str, ...] | None:
        """The names in the list of classes, if there is one."""
        if self.classes is None:
            return None
        from datamodules.sources.class_list import read_class_list  # pydantic: only for a list

        return read_class_list(self.classes)

    def _layout(self, omissions: Omissions) -> Layout:
        self._require_root()
        chosen = self._chosen()
        sieve = Sieve(self.exclude)
        wrapped = self._is_archive
        if not self.is_made:
            from datamodules.sources.archives import list_archive

            tree, sizes = list_archive(self.root, omissions, sieve)
            size_of = sizes.__getitem__
        else:
            folder = self._unpacked if wrapped else self.root
            tree = list_folder(folder, omissions, sieve, () if wrapped else self.own_folders)
            size_of = _Sizes(folder)
        sieve.require_used(self.root)
        name = self.root.name.partition(".")[0] if wrapped else self.root.resolve().name
        layout = understand(
            tree, str(self.root), omissions, size_of, name=name, chosen=chosen, wrapped=wrapped
        )
        _count_unlistable(tree, omissions)
        return layout

    def _require_root(self) -> None:
        try:
            self.root.stat()
        except PermissionError as error:
            raise DataError(
                f"The data folder {self.root} cannot be reached ({error.strerror}): get the right "
                "to read it and the folders around it."
            ) from None
        except OSError:
            raise DataError(
                f"The data folder {self.root} does not exist: set data.root to a folder with "
                f"{EXPECTED_TREE}. {self.how_to_get}".strip()
            ) from None


class _Sizes:
    """Bytes of images, by their paths in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, path: str) -> int:
        try:
            return (self.folder / path).stat().st_size
        except OSError:
            return -1


def _own_folders() -> list[str]:
    return [os.environ.get(f"MODEL_DIET_{name}", folder) for name, folder in OWN_FOLDERS]


def _items(place: str, folder: Folder, label: int) -> list[Item]:
    """The images of a folder and of those below it, sorted by path."""
    prefix = "" if place == "." else f"{place.rstrip('/')}/"
    return [Item(prefix + path, label, None, path) for path in sorted(folder.files())]


def _count_unlistable(folder: Folder, omissions: Omissions) -> None:
    if folder.unlistable:
        omissions.add(UNLISTABLE, folder.path)
    for inner in folder.folders.values():
        _count_unlistable(inner, omissions)


def _nested(layout: Layout) -> Counter[str]:
    """Class -> images in folders below its own, where there are some."""
    nested: Counter[str] = Counter()
    for classes in layout.splits.values():
        for name, folder in classes.items():
            nested[name] += folder.count - len(folder.images)
    return +nested


class FoundImages(NamedTuple):
    """The images of a folder, and what else is there."""

    paths: list[str]  # sorted
    left_out: tuple[LeftOut, ...]


def find_images(folder: Path) -> FoundImages:
    """The images of a folder and of those below it, whatever their arrangement.

    Raises:
        DataError: the folder cannot be listed.
    """
    omissions = Omissions()
    tree = list_folder(folder, omissions, Sieve())
    if tree.unlistable:
        raise DataError(
            f"The folder {folder} cannot be listed ({tree.unlistable}): get the right to read it, "
            "or give another one."
        )
    _count_unlistable(tree, omissions)
    prefix = f"{str(folder).rstrip('/')}/"
    return FoundImages(sorted(prefix + path for path in tree.files()), omissions.left_out())


def image_files(folder: Path) -> list[str]:
    """The images of a folder and of those below it, sorted; `find_images` says what else is there.

    Raises:
        DataError: the folder cannot be listed.
    """
    return find_images(folder).paths
