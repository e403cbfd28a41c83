"""From what stands in a table's column to classes."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from datamodules.errors import DataError

WHOLE = re.compile(r"[+-]?\d+(?:\.0*)?")  # 3.0 is what pandas makes of 3 where a value lacks
NUMBER = re.compile(r"[+-]?\d*\.\d+(?:e[+-]?\d+)?", re.I)
SEPARATORS = ("|", ";", ",")
MANY = 10  # so many images, each with a class of its own, are no classes


def classes_of(path: Path, column: str, labels: Sequence[str]) -> dict[str, str]:
    """What stands in the column -> the name of the class, the classes in their order.

    Whole numbers are sorted as numbers, other names as text.

    Args:
        path: the table, for sentences.
        column: the name of the column.
        labels: of all labelled images, none of them empty.

    Raises:
        DataError: they are measurements, of several classes each, or different for each image.
    """
    found = sorted(set(labels))
    if len(found) == len(labels) >= MANY:
        raise DataError(
            f"The column {column!r} of {path} has another value for each of {len(labels)} images, "
            f"as {found[0]!r}: name the column of the classes by data.source.label_column=..."
        )
    if all(map(WHOLE.fullmatch, found)):
        names = {label: _whole(label) for label in found}
        return dict(sorted(names.items(), key=lambda pair: (int(pair[1]), pair[1])))
    if all(WHOLE.fullmatch(label) or NUMBER.fullmatch(label) for label in found):
        raise DataError(
            f"The column {column!r} of {path} holds numbers with fractions, as {found[0]}: they "
            "are measurements and no classes; name another by data.source.label_column=..."
        )
    _require_one_class(path, column, found)
    return {label: label for label in found}


def same_but_for_case(names: Iterable[str]) -> list[str]:
    """Pairs of names that differ only in case, for which a typing mistake is likelier."""
    first: dict[str, str] = {}
    pairs = []
    for name in names:
        other = first.setdefault(name.casefold(), name)
        if other != name:
            pairs.append(f"{other} and {name}")
    return pairs


def _whole(label: str) -> str:
    """`3.0` is 3, and `03` keeps its zero."""
    return label.partition(".")[0].removeprefix("+")


def _require_one_class(path: Path, column: str, labels: Sequence[str]) -> None:
    alone = set(labels)
    for label in labels:
        for separator in SEPARATORS:
            parts = [part.strip() for part in label.strip("[]").replace("'", "").split(separator)]
            if len(parts) > 1 and alone.issuperset(parts):
                raise DataError(
                    f"The column {column!r} of {path} holds several classes at once, as {label!r}: "
                    "only one class an image can be learnt; leave out the rows of several, or "
                    "name another column by data.source.label_column=..."
                )
