"""The file of splits that this package writes: of a run, or the memory that later runs follow.

A CSV that says in its first line that it is ours, and of which root; then `image,split` and a
column for each number of folds. People can read and edit it.
"""

import csv
import glob
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from datamodules.errors import DataError, shown
from datamodules.files import written_beside

MARK = "# splits by Model Diet "  # then what JSON says of them
HEADER = ["image", "split"]
LEFT_OUT = "left_out"  # an image that a user's file did not list
SPLITS = ("train", "val", "test", LEFT_OUT)
FOLDS = "fold_of_"


@dataclass(frozen=True)
class SplitRecord:
    """Which image went to which split.

    Attributes:
        split_of: image (its path below the root) -> train, val, test or left_out; a memory says
            nothing of images that lie in folders of splits.
        fold_of: number of folds -> image -> its fold, from "0".
        root: absolute folder of the images; None where nobody said it.
        of_run: whether it belongs to one run or study, so that no other one may add to it.
        key: what it was made for, as whoever wrote it says.
    """

    split_of: Mapping[str, str] = field(default_factory=dict)
    fold_of: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    root: str | None = None
    of_run: bool = False
    key: str | None = None

    def updated(self, later: "SplitRecord") -> "SplitRecord":
        """What this record says, and what a later one says besides or otherwise."""
        folds = {
            count: {**self.fold_of.get(count, {}), **later.fold_of.get(count, {})}
            for count in sorted(self.fold_of.keys() | later.fold_of.keys())
        }
        return replace(self, split_of={**self.split_of, **later.split_of}, fold_of=folds)


def is_record(path: Path) -> bool:
    """Whether the file says that it is ours."""
    try:
        with path.open("rb") as file:
            return file.read(len(MARK)) == MARK.encode()
    except OSError:
        return False


def read_split_file(path: Path) -> SplitRecord:
    """Read a file that `write_split_file` wrote.

    Raises:
        DataError: it cannot be read, or was changed to something else.
    """
    first, _, rest = _text(path).partition("\n")
    rows = _rows(path, rest)
    header = rows[0] if rows else []
    counts = [name.removeprefix(FOLDS) for name in header[2:]]
    if not first.startswith(MARK) or header[:2] != HEADER or not all(n.isdigit() for n in counts):
        raise _not_ours(path)
    try:
        about = json.loads(first.removeprefix(MARK))
        root, of_run, key = about["root"], about["of_run"], about.get("key")
    except (ValueError, KeyError, TypeError):
        raise _not_ours(path) from None
    split_of: dict[str, str] = {}
    fold_of: dict[int, dict[str, str]] = {int(n): {} for n in counts}
    for number, (image, split, *folds) in _checked(path, rows, start=2):
        if split not in (*SPLITS, ""):
            raise _wrong_line(path, number, [image, split, *folds], SPLITS)
        if split:
            split_of[image] = split
        for count, fold in zip(fold_of, folds, strict=True):
            if fold and not (fold.isdigit() and int(fold) < count):
                names = tuple(map(str, range(count)))
                raise _wrong_line(path, number, [image, split, *folds], names)
            if fold:
                fold_of[count][image] = fold
    return SplitRecord(split_of, fold_of, root, of_run, key)


def read_memory(path: Path) -> SplitRecord:
    """What earlier runs wrote below the cache; nothing where there is no file.

    Earlier versions kept `image,split` without our mark, and each number of folds in a file of its
    own. Only the place tells such a file from a user's.

    Raises:
        DataError: a file has another form.
    """
    if is_record(path):
        return read_split_file(path)
    split_of = _read_former(path, SPLITS[:3])
    fold_of = {}
    prefix, suffix = f"{path.stem}_", "_folds.csv"
    for file in sorted(path.parent.glob(f"{glob.escape(path.stem)}_*{suffix}")):
        count = file.name.removeprefix(prefix).removesuffix(suffix)
        if count.isdigit():
            fold_of[int(count)] = _read_former(file, tuple(map(str, range(int(count)))))
    return SplitRecord(split_of, fold_of)


def write_split_file(path: Path, record: SplitRecord) -> None:
    """Write the file in one piece, sorted by image.

    Raises:
        DataError: it cannot be written.
    """
    about = json.dumps({"root": record.root, "of_run": record.of_run, "key": record.key})
    images = {*record.split_of, *(image for folds in record.fold_of.values() for image in folds)}
    rows = [[*HEADER, *(f"{FOLDS}{count}" for count in record.fold_of)]]
    for image in sorted(images):
        folds = [of.get(image, "") for of in record.fold_of.values()]
        rows.append([image, record.split_of.get(image, ""), *folds])
    text = f"{MARK}{about}\n{''.join(map(_line, rows))}"
    try:
        with written_beside(path) as beside:
            beside.write_bytes(text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise DataError(
            f"The split file {path} cannot be written ({error.strerror}): give another place with "
            "data.split.file."
        ) from error


def _line(row: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(row)  # with the end \r\n, so that a name with one of these is quoted
    return text.getvalue().removesuffix("\r\n") + "\n"


def _read_former(path: Path, splits: tuple[str, ...]) -> dict[str, str]:
    if not path.is_file():
        return {}
    rows = _rows(path, _text(path))
    if not rows or rows[0] != HEADER:
        raise DataError(f"The split file {path} does not start with the line {','.join(HEADER)}.")
    found = {}
    for number, row in _checked(path, rows, start=1):
        if row[1] not in splits:
            raise _wrong_line(path, number, row, splits)
        found[row[0]] = row[1]
    return found


def _text(path: Path) -> str:
    try:
        # File names may hold bytes that are no UTF-8.
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise DataError(f"The split file {path} cannot be read ({error.strerror}).") from None
    if "\0" in text:
        raise DataError(f"The split file {path} cannot be read (it holds no text).")
    return text


def _rows(path: Path, text: str) -> list[list[str]]:
    try:
        return list(csv.reader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise DataError(f"The split file {path} cannot be read ({error}).") from None


def _checked(path: Path, rows: list[list[str]], *, start: int) -> list[tuple[int, list[str]]]:
    """The rows below the header with the numbers of their lines: as long as it, each image once."""
    seen = set()
    numbered = list(enumerate(rows))[1:]
    for number, row in numbered:
        if len(row) != len(rows[0]) or row[0] in seen:
            raise _wrong_line(path, number + start, row, SPLITS[:3])
        seen.add(row[0])
    return [(number + start, row) for number, row in numbered]


def _wrong_line(path: Path, number: int, row: list[str], allowed: tuple[str, ...]) -> DataError:
    return DataError(
        f"Line {number} of the split file {path} is {shown(','.join(row))!r}: each image stands "
        f"there once, with one of {', '.join(allowed)}."
    )


def _not_ours(path: Path) -> DataError:
    return DataError(
        f"The split file {path} begins as one of ours does and goes on otherwise: put its first "
        "two lines back, or take the first line away to have it read as a list of your own."
    )
