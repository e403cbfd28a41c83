"""Samples from WebDataset tars: members of one key, such as `0001.jpg` and `0001.cls`, are one."""

import itertools
import json
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from datamodules.errors import DataError
from datamodules.sources.formats import image_suffixes
from datamodules.sources.huggingface.arrow_samples import LABEL_NAMES
from datamodules.sources.huggingface.samples import Sample
from datamodules.sources.omissions import Omissions
from datamodules.sources.source import LeftOut

# Where a class may stand, in the order in which it is believed. Pickled members (.pyd, .pkl, .pt)
# are never opened: they can hold programs.
LABELS = ("cls", "cls.txt", "label", "label.txt", "class", "json", "txt")
NAMES = ("classnames.txt", "classes.txt")  # beside the tars: a name a line, in order of the labels


SAMPLES = 100  # that are looked at to know where the classes stand
Members = dict[str, tarfile.TarInfo]  # extension -> file


class WebDatasetSamples:
    """Reads tars of samples.

    Args:
        splits: split -> its tars.
        root: the folder that they lie in; a file of class names may stand there.
        image_column: extension of the images; None is any that images have.
        label_column: extension of the classes, or a key of the JSON; None finds it.

    Attributes:
        class_names: as a file beside the tars says; else None.

    Raises:
        DataError: a tar is damaged, or what of a sample is meant cannot be told.
    """

    def __init__(
        self,
        splits: Mapping[str, Sequence[Path]],
        *,
        root: Path,
        image_column: str | None,
        label_column: str | None,
    ) -> None:
        self._splits = splits
        self._images = {suffix[1:] for suffix in image_suffixes()}
        if image_column is not None:
            self._images = {image_column.lstrip(".").lower()}
        self._label = self._find_label(label_column)
        self.class_names, notes = _class_names(root)
        source = f" with classes from {self._label}" if self._label else ""
        self.notes: tuple[str, ...] = (f"tars of samples{source}", *notes)
        self.left_out: tuple[LeftOut, ...] = ()

    def counts(self) -> Mapping[str, int]:
        """How many samples with an image each split has."""
        return {split: len(labels) for split, labels in self._labels.items()}

    def labels(self, split: str) -> list[int | str | None]:
        """The classes of the samples with an image."""
        return self._labels[split]

    def samples(self, split: str) -> Iterator[Sample]:
        """The samples with an image, in their order."""
        labels = iter(self._labels[split])
        for path in self._splits[split]:
            with _opened(path) as tar:
                for key, members in _grouped(tar):
                    image = self._image_of(path, key, members)
                    if image is not None:
                        content = _content(tar, members[image])
                        yield Sample(f"{key}.{image}", content, None, next(labels))

    @cached_property
    def _labels(self) -> dict[str, list[int | str | None]]:
        """The classes of all splits; counts what is none of a sample."""
        omissions = Omissions()
        found: dict[str, list[int | str | None]] = {}
        for split, paths in self._splits.items():
            found[split] = []
            for path in paths:
                with _opened(path) as tar:
                    for key, members in _grouped(tar):
                        image = self._image_of(path, key, members)
                        if image is None:
                            omissions.add("samples without an image", key)
                            continue
                        found[split].append(self._label_of(tar, path, key, members))
                        for extension in members.keys() - {image, *LABELS}:
                            omissions.add("other members of tars", f"{key}.{extension}")
        self.left_out = omissions.left_out()
        return found

    def _find_label(self, wanted: str | None) -> str | None:
        """An extension, or `json:KEY`; by the first sample that has any."""
        for path in itertools.chain(*self._splits.values()):
            with _opened(path) as tar:
                for key, members in itertools.islice(_grouped(tar), SAMPLES):
                    found = self._label_in(tar, path, key, members, wanted)
                    if found is not None:
                        return found
        if wanted is not None:
            raise DataError(
                f"data.source.label_column={wanted} is neither the extension of a member of "
                f"{next(iter(self._splits.values()))[0]} nor a key of its JSON."
            )
        return None

    def _label_in(
        self, tar: tarfile.TarFile, path: Path, key: str, members: Members, wanted: str | None
    ) -> str | None:
        keys = _json(tar, path, key, members["json"]) if "json" in members else {}
        if wanted is not None:
            plain = wanted.lstrip(".")
            if wanted in keys:
                return f"json:{wanted}"
            return plain if plain in members else None
        for extension in LABELS:
            if extension == "json":
                name = next((name for name in LABEL_NAMES if name in keys), None)
                if name is not None:
                    return f"json:{name}"
            elif extension in members:
                return extension
        return None

    def _label_of(self, tar: tarfile.TarFile, path: Path, key: str, members: Members) -> str | None:
        extension, _, name = (self._label or "").partition(":")
        if extension not in members:
            return None
        if not name:
            return _content(tar, members[extension]).decode("utf-8", "replace").strip() or None
        value = _json(tar, path, key, members[extension]).get(name)
        if isinstance(value, list | dict):
            raise DataError(
                f"The sample {key!r} of {path} has {name} = {value}: only one class an image can "
                "be learnt; name another key by data.source.label_column=..."
            )
        return None if value in (None, "") else str(value)

    def _image_of(self, path: Path, key: str, members: Members) -> str | None:
        """The extension of the sample's image."""
        found = [extension for extension in members if extension in self._images]
        if len(found) > 1:
            raise DataError(
                f"The sample {key!r} of {path} has several images (.{', .'.join(found)}): name "
                "one by data.source.image_column=..."
            )
        return found[0] if found else None


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(path) as tar:
            yield tar
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{path} cannot be read ({reason}): it is damaged or was not downloaded to its end; "
            "get it again."
        ) from None


def _grouped(tar: tarfile.TarFile) -> Iterator[tuple[str, Members]]:
    """Key -> members by extension, of one sample after the other, as they follow in the tar.

    The extension begins at the first dot of the name.
    """
    files = (info for info in tar if info.isfile() and not _is_hidden(info.name))
    for key, infos in itertools.groupby(files, key=lambda info: _parts(info.name)[0]):
        yield key, {_parts(info.name)[1]: info for info in infos}
    # What is cut off between two members looks like an end, but for the empty block.
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("it has no end")


def _parts(name: str) -> tuple[str, str]:
    folder, _, base = name.rpartition("/")
    stem, _, extension = base.partition(".")
    return (f"{folder}/{stem}" if folder else stem).removeprefix("./"), extension.lower()


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") and part != "." for part in name.split("/"))


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(info)
    content = file.read() if file is not None else b""
    if len(content) < info.size:
        raise tarfile.ReadError(f"its member {info.name!r} ends too early")
    return content


def _json(tar: tarfile.TarFile, path: Path, key: str, info: tarfile.TarInfo) -> dict[str, Any]:
    try:
        content = json.loads(_content(tar, info))
    except ValueError as error:
        raise DataError(f"{key}.json of {path} is no JSON ({error}).") from None
    return content if isinstance(content, dict) else {}


def _class_names(root: Path) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """The names in a file beside the tars, and a sentence that says so."""
    for file in NAMES:
        if (root / file).is_file():
            lines = (root / file).read_text("utf-8-sig", "replace").splitlines()
            names = tuple(line.strip() for line in lines if line.strip())
            if names and len(set(names)) == len(names):
                return names, (f"the classes are named by {file}, in the order of their numbers",)
    return None, ()
