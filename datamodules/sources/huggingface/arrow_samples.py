"""Samples from Parquet and Arrow files: which columns they are, and what stands in them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from datamodules.errors import DataError
from datamodules.schema import is_name
from datamodules.sources.huggingface.arrow_files import ArrowFile
from datamodules.sources.huggingface.samples import Sample
from datamodules.sources.source import LeftOut

# The names that are believed where several columns could be it, in this order.
IMAGE_NAMES = ("image", "img", "images", "picture", "photo", "jpg", "png", "webp")
LABEL_NAMES = ("label", "labels", "class", "target", "category", "class_label", "cls")

Kind = Literal["image", "class", "value", "list", "other"]


class ArrowSamples:
    """Reads the columns of images and of classes.

    Args:
        splits: split -> its files.
        image_column: name of the column of images; None finds it.
        label_column: the same of the classes.

    Attributes:
        class_names: of a `ClassLabel`, in its order; else None.

    Raises:
        DataError: pyarrow is absent, a file is damaged, or a column cannot be told.
    """

    left_out: tuple[LeftOut, ...] = ()

    def __init__(
        self,
        splits: Mapping[str, Sequence[Path]],
        *,
        image_column: str | None,
        label_column: str | None,
    ) -> None:
        self._files = {split: [ArrowFile(p) for p in paths] for split, paths in splits.items()}
        files = [file for files in self._files.values() for file in files]
        if not sum(file.rows for file in files):
            raise DataError("The data set has no rows: there is nothing to learn.")
        first = files[0]
        self._image = image_column or _image_column(first)
        self._label = label_column or _label_column(first, self._image)
        _require(first, self._image, "image")
        for file in files:
            _require(file, self._image, "image")
        if label_column is not None and not any(label_column in file.types for file in files):
            _require(first, label_column, "label")
        self.class_names = self._class_names(files)
        label = f", classes in {self._label!r}" if self._label else ""
        self.notes: tuple[str, ...] = (f"images are in the column {self._image!r}{label}",)

    def counts(self) -> Mapping[str, int]:
        """How many rows each split has."""
        return {split: sum(file.rows for file in files) for split, files in self._files.items()}

    def labels(self, split: str) -> list[int | str | None]:
        """What stands in the column of the classes."""
        found: list[int | str | None] = []
        for file in self._files[split]:
            if self._label is None or self._label not in file.types:
                found += [None] * file.rows
                continue
            for (values,) in file.batches([self._label]):
                found += [self._value(file, value) for value in values]
        return found

    def samples(self, split: str) -> Iterator[Sample]:
        """The rows, in their order."""
        for file in self._files[split]:
            columns = [self._image]
            if self._label is not None and self._label in file.types:
                columns.append(self._label)
            for images, *labels in file.batches(columns):
                values = labels[0] if labels else [None] * len(images)
                for image, value in zip(images, values, strict=True):
                    yield _sample(image, self._value(file, value))

    def _value(self, file: ArrowFile, value: Any) -> int | str | None:
        if value is None or value == "" or value != value:
            return None
        if self.class_names is None:
            return str(value).lower() if isinstance(value, bool) else str(value)
        if value == -1:  # what `datasets` writes where nobody knows
            return None
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if not whole or not 0 <= value < len(self.class_names):
            raise DataError(
                f"{file.path} holds the label {value!r:.80}, and its "
                f"{len(self.class_names)} classes are numbered from 0: it is damaged; get it again."
            )
        return int(value)

    def _class_names(self, files: Sequence[ArrowFile]) -> tuple[str, ...] | None:
        found: dict[tuple[str, ...], ArrowFile] = {}
        for file in files:
            if self._label in file.types:
                names = file.features.get(self._label or "", {}).get("names") or ()
                if not isinstance(names, list | tuple) or not all(map(is_name, names)):
                    raise DataError(
                        f"{file.path} names the classes in {self._label!r} by what is no list of "
                        "names: it is damaged; get it again."
                    )
                found.setdefault(tuple(names), file)
        if len(found) > 1:
            one, other, *_ = (file.path for file in found.values())
            raise DataError(
                f"{one} and {other} have different classes in {self._label!r}: set data.root to "
                "files of one data set."
            )
        return next(iter(found), ()) or None


def _sample(image: Any, label: int | str | None) -> Sample:
    if isinstance(image, dict):
        content, path = image.get("bytes"), image.get("path")
    elif isinstance(image, bytes):
        content, path = image, None
    else:
        content, path = None, image
    if not isinstance(content, bytes | None) or not isinstance(path, str | None):
        content, path = None, ""  # what holds no image is counted as one that is missing
    return Sample(Path(path or "").name, content, path or None, label)


def _kind(file: ArrowFile, column: str) -> Kind:
    """What a column can be, by what `datasets` says of it, else by its type."""
    import pyarrow.types as types

    noted, kind = file.features.get(column), file.types[column]
    if noted is not None and noted.get("_type") in ("Image", "ClassLabel"):
        return "image" if noted["_type"] == "Image" else "class"
    if types.is_struct(kind):
        names = {kind.field(n).name for n in range(kind.num_fields)}
        return "image" if "bytes" in names else "other"
    if types.is_binary(kind) or types.is_large_binary(kind):
        return "image"
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return "list"
    texts = types.is_string(kind) or types.is_large_string(kind) or types.is_dictionary(kind)
    numbers = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
    return "value" if texts or numbers else "other"


def _image_column(file: ArrowFile) -> str:
    found = [column for column in file.types if _kind(file, column) == "image"]
    column = _chosen(found, IMAGE_NAMES)
    if column is not None:
        return column
    if lists := [name for name in IMAGE_NAMES if name in file.types]:
        raise DataError(
            f"The column {lists[0]!r} of {file.path} holds {file.types[lists[0]]} and no encoded "
            "images: cast it to datasets.Image() and save the data set again."
        )
    which = f"({', '.join(found)} could be it)" if found else "(bytes, or an Image of `datasets`)"
    raise DataError(
        f"No column of {file.path} is known to hold the images {which}: name it by "
        f"data.source.image_column=...; there are {', '.join(file.types)}."
    )


def _label_column(file: ArrowFile, image: str) -> str | None:
    kinds = {column: _kind(file, column) for column in file.types if column != image}
    for kind in ("class", "value"):
        found = [column for column, of in kinds.items() if of == kind]
        column = _chosen(found, LABEL_NAMES)
        if column is not None:
            return column
        if kind == "class" and found:
            break
    if lists := [name for name in LABEL_NAMES if kinds.get(name) == "list"]:
        raise DataError(
            f"The column {lists[0]!r} of {file.path} holds several classes of an image: only one "
            "can be learnt; name another by data.source.label_column=..."
        )
    if found:
        raise DataError(
            f"No column of {file.path} is known to hold the classes ({', '.join(found)} could be "
            "it): name it by data.source.label_column=..."
        )
    return None


def _chosen(found: Sequence[str], names: Sequence[str]) -> str | None:
    """The only one, or the first that has one of the names."""
    if len(found) == 1:
        return found[0]
    small = {column.casefold(): column for column in reversed(found)}
    return next((small[name] for name in names if name in small), None)


def _require(file: ArrowFile, column: str, key: str) -> None:
    if column not in file.types:
        raise DataError(
            f"{file.path} has no column {column!r}; there are {', '.join(file.types)}: name one by "
            f"data.source.{key}_column=..."
        )
