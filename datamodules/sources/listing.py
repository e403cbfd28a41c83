"""What lies in a folder: its images as a tree, and what else is there, counted by reason."""

import os
import stat
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from datamodules.errors import DataError
from datamodules.sources.formats import IMAGE_SUFFIXES, NO_FORMAT, is_image_name, why_no_image
from datamodules.sources.omissions import Omissions

# What systems and programs leave beside the images of people, in small letters -> what it is.
CLUTTER = {
    "@eadir": "thumbnails in @eaDir",
    "#recycle": "files in the recycle bin #recycle",
    "@recycle": "files in the recycle bin @Recycle",
    "#snapshot": "files in #snapshot",
    "@recently-snapshot": "files in @Recently-Snapshot",
    "@tmp": "files in @tmp",
    "__macosx": "files in __MACOSX",
    "$recycle.bin": "files in the recycle bin $RECYCLE.BIN",
    "recycler": "files in the recycle bin RECYCLER",
    "system volume information": "files in System Volume Information",
    "lost+found": "files in lost+found",
    "lost.dir": "files in LOST.DIR",
    "__pycache__": "files in __pycache__",
    ".ipynb_checkpoints": "files in .ipynb_checkpoints",
}
SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"}

OWN_FOLDERS = "folders of this program's own"
EXCLUDED = "named by data.source.exclude"
HIDDEN_FILES, HIDDEN_FOLDERS = "hidden files", "hidden folders"
UNREADABLE_FILES = "files without an image's suffix that may not be read"
UNLISTABLE = "sub-folders that may not be listed"
LOOPS = "links to a folder around it"
REPEATED = "links to a folder that another link has led to"
SPECIAL = "special files, such as pipes"


@dataclass(eq=False)
class Folder:
    """A folder with the images in it and below it.

    Attributes:
        path: relative to the root of all, with slashes; empty is the root.
        folders: name -> a folder in it; left out are those that hold no images by their nature.
        images: names of the image files directly in it, in no order.
        unlistable: what the system said where it may not be listed.
    """

    path: str = ""
    folders: dict[str, "Folder"] = field(default_factory=dict)
    images: list[str] = field(default_factory=list)
    unlistable: str | None = None

    @property
    def name(self) -> str:
        """Its own name."""
        return self.path.rpartition("/")[2]

    @cached_property
    def count(self) -> int:
        """Images in it and below it; once the tree is whole."""
        return len(self.images) + sum(folder.count for folder in self.folders.values())

    @property
    def filled(self) -> dict[str, "Folder"]:
        """Those folders in it that hold images somewhere."""
        return {name: folder for name, folder in self.folders.items() if folder.count}

    def files(self) -> Iterator[str]:
        """All images, relative to the root of all, in no order."""
        prefix = f"{self.path}/" if self.path else ""
        for name in self.images:
            yield prefix + name
        for folder in self.folders.values():
            yield from folder.files()

    def below(self, name: str) -> str:
        """The path of what is called `name` in it."""
        return f"{self.path}/{name}" if self.path else name


class Sieve:
    """Which files and folders are left out by their names.

    Args:
        exclude: names, or paths from the root, `*` standing for anything.
    """

    def __init__(self, exclude: Sequence[str] = ()) -> None:
        self.exclude = [pattern.strip("/").removeprefix("./") for pattern in exclude]
        self.unused = set(self.exclude)

    def folder(self, name: str, path: str) -> str | None:
        """Why a folder is left out with all that is in it, if it is."""
        if name.lower() in CLUTTER:
            return CLUTTER[name.lower()]
        if name.startswith("."):
            return HIDDEN_FOLDERS
        return EXCLUDED if self._is_excluded(name, path) else None

    def file(self, name: str, path: str) -> str | None:
        """Why a file is left out, if it is; empty where its first bytes must tell."""
        if name.startswith("."):
            return HIDDEN_FILES
        if self.exclude and self._is_excluded(name, path):
            return EXCLUDED
        if name.lower() in SYSTEM_FILES:
            return "system files"
        found = is_image_name(name)
        return "" if found is None else None if found else NO_FORMAT

    def _is_excluded(self, name: str, path: str) -> bool:
        fits = {p for p in self.exclude if _fits(path if "/" in p else name, p)}
        self.unused -= fits
        return bool(fits)

    def require_used(self, root: Path) -> None:
        """Refuse an `exclude` that names nothing, as misspelt ones do.

        Raises:
            DataError: with the first such name.
        """
        for pattern in sorted(self.unused):
            raise DataError(
                f"data.source.exclude names {pattern!r}, which is not in {root}: give names or "
                "paths of folders and files there, relative to it."
            )


def list_folder(root: Path, omissions: Omissions, sieve: Sieve, own: Sequence[str] = ()) -> Folder:
    """The tree of images of a folder; links to folders are followed, but never round in circles.

    Args:
        root: the folder.
        omissions: where what is left out is counted.
        sieve: what is left out by its name.
        own: folders of this program, which hold no images of the user where they lie in the root.
    """
    known = {identity for path in own if (identity := _identity(path)) is not None}
    return _Walk(omissions, sieve, known).folder(str(root), "", (), False)


class _Walk:
    """One walk through a folder; a folder is known by its device and number."""

    def __init__(self, omissions: Omissions, sieve: Sieve, own: Set[tuple[int, int]]) -> None:
        self.omissions = omissions
        self.sieve = sieve
        self.own = own
        self.linked: set[tuple[int, int] | None] = set()

    def folder(self, place: str, path: str, around: tuple, linked: bool) -> Folder:
        """The tree of one folder.

        Args:
            place: the folder.
            path: the same, relative to the root.
            around: identities of the folders around it.
            linked: whether a link led to it, or to one around it.
        """
        found = Folder(path)
        around = (*around, _identity(place))
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    if self._is_plain_image(entry):
                        found.images.append(entry.name)
                    elif _is_folder(entry):
                        self._enter(entry, found, around, linked)
                    else:
                        self._take(entry, found)
        except OSError as error:
            found.unlistable = error.strerror or str(error)
        return found

    def _enter(self, entry: os.DirEntry, parent: Folder, around: tuple, linked: bool) -> None:
        path = parent.below(entry.name)
        identity = _identity(entry.path)
        reason = self.sieve.folder(entry.name, path)
        if reason is not None:
            hidden = reason == HIDDEN_FOLDERS
            self.omissions.add(reason, path, 1 if hidden else _count_files(entry.path))
        elif identity in self.own:
            self.omissions.add(OWN_FOLDERS, path)
        elif identity in around:
            self.omissions.add(LOOPS, path)
        elif linked and entry.is_symlink() and identity in self.linked:
            self.omissions.add(REPEATED, path)
        else:
            if entry.is_symlink():
                linked = True
                self.linked.add(identity)
            parent.folders[entry.name] = self.folder(entry.path, path, around, linked)

    def _is_plain_image(self, entry: os.DirEntry) -> bool:
        """Whether it is what nearly all files are, found out fast."""
        name = entry.name
        return (
            name[name.rfind(".") :].lower() in IMAGE_SUFFIXES
            and not name.startswith(".")
            and not self.sieve.exclude
            and entry.is_file(follow_symlinks=False)
        )

    def _take(self, entry: os.DirEntry, parent: Folder) -> None:
        path = parent.below(entry.name)
        reason = self.sieve.file(entry.name, path)
        if reason == "":
            reason = _look_into(entry)
        if reason is None:
            parent.images.append(entry.name)
        else:
            self.omissions.add(reason, path)


def _fits(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)  # brackets may be meant as they stand


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link round in a circle
        return False


def _identity(place: str) -> tuple[int, int] | None:
    try:
        status = os.stat(place)  # noqa: PTH116  (of very many folders)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _look_into(entry: os.DirEntry) -> str | None:
    """Why a file whose name does not tell is no image, if it is none."""
    try:
        if not stat.S_ISREG(entry.stat().st_mode):  # opening a pipe would wait for ever
            return SPECIAL
        with open(entry.path, "rb") as file:  # noqa: PTH123
            return why_no_image(file)
    except OSError:
        return UNREADABLE_FILES


def _count_files(place: str) -> int:
    """Files in a folder and below it, at least 1, so that an empty one is counted as well."""
    return sum(len(files) for _, _, files in os.walk(place)) or 1
