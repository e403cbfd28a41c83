"""The audit as CSV files."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from datamodules.audit.audit import Audit
from datamodules.audit.duplicates import KINDS, counterpart, duplicate_type
from datamodules.errors import shown
from datamodules.files import written_beside
from datamodules.sources import Item

PLACE = ("split", "class", "path", "box")
LABELS = "labels.csv"
LABEL_COLUMNS = (
    "rank", "path", "box", "split", "given", "suggested", "self_confidence", "suggested_confidence",
)  # fmt: skip
QUANTILES = {"smallest": 0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "largest": 1}


def write_tables(audit: Audit, folder: Path) -> None:
    """Write counts.csv, sizes.csv, pictures.csv, corrupt.csv, odd.csv and duplicates.csv.

    Where labels were checked also labels.csv.
    """
    splits = list(audit.index.splits)
    _write(folder / "counts.csv", ("class", *splits, "total"), count_rows(audit))
    _write(folder / "sizes.csv", ("split", "what", *QUANTILES), size_rows(audit))
    measured = ("width", "height", "file_bytes", "format", "mode")
    _write(folder / "pictures.csv", (*PLACE, *measured), _picture_rows(audit))
    _write(folder / "corrupt.csv", ("split", "class", "path", "reason"), _bad_rows(audit))
    _write(folder / "odd.csv", (*PLACE, "what"), _odd_rows(audit))
    how = ("across_classes", "across_splits", "duplicate_of", "kind", "distance")
    _write(folder / "duplicates.csv", ("group", *PLACE, *how), _duplicate_rows(audit))
    if audit.labels:
        _write(folder / LABELS, LABEL_COLUMNS, label_rows(audit))


def count_rows(audit: Audit) -> Iterator[tuple]:
    """Class, items in each split, items in all."""
    total = sum(audit.counts.values(), Counter())
    for name in [*audit.index.class_names, *(total.keys() - set(audit.index.class_names))]:
        yield name, *(count[name] for count in audit.counts.values()), total[name]


def size_rows(audit: Audit) -> Iterator[tuple]:
    """Split, what is measured, its quantiles: width and height in pixels, and width / height."""
    for split in audit.index.splits:
        found = [(p.width, p.height) for p in audit.pictures if p.split == split]
        if found:
            width, height = np.array(found).T
            measured = {"width": width, "height": height, "width / height": width / height}
            for what, values in measured.items():
                quantiles = np.quantile(values, list(QUANTILES.values()), method="nearest")
                yield split, what, *(round(value, 3) for value in quantiles.tolist())


def label_rows(audit: Audit) -> Iterator[tuple]:
    """One row for each likely wrong label, the likeliest first; paths are relative to the root."""
    split_of = {(i.group, i.box): s for s, items in audit.index.splits.items() for i in items}
    for rank, issue in enumerate(audit.labels.found if audit.labels else (), start=1):
        box = "" if issue.item.box is None else " ".join(map(str, issue.item.box))
        names = audit.class_of(issue.item), shown(audit.index.class_names[issue.suggested])
        values = (f"{value:.4f}" for value in (issue.self_confidence, issue.suggested_confidence))
        split = split_of.get((issue.item.group, issue.item.box), "")
        yield rank, issue.item.group, box, split, *names, *values


def _picture_rows(audit: Audit) -> Iterator[tuple]:
    for p in audit.pictures:
        values = (p.width, p.height, p.file.bytes, p.file.format, p.file.mode)
        yield *_place(audit, p.split, p.item), *values


def _bad_rows(audit: Audit) -> Iterator[tuple]:
    for bad in audit.bad:
        classes = sorted({audit.class_of(item) for item in bad.items})
        yield bad.split, " ".join(classes), bad.path, bad.reason


def _odd_rows(audit: Audit) -> Iterator[tuple]:
    for odd in audit.issues:
        yield *_place(audit, odd.picture.split, odd.picture.item), odd.what


def _duplicate_rows(audit: Audit) -> Iterator[tuple]:
    """One row for each member of a group of look-alikes, which include all duplicates."""
    for number, group in enumerate(audit.duplicates[KINDS[-1]], start=1):
        across = ("yes" if group.across_classes else "no", "yes" if group.across_splits else "no")
        for member in group.members:
            picture = audit.pictures[member]
            other = audit.pictures[counterpart(member, group, audit.pictures)]
            distance = (picture.phash ^ other.phash).bit_count()
            how = (audit.name(other.item), duplicate_type(picture, other), distance)
            yield number, *_place(audit, picture.split, picture.item), *across, *how


def _place(audit: Audit, split: str, item: Item) -> tuple:
    box = "" if item.box is None else " ".join(map(str, item.box))
    return split, audit.class_of(item), item.path, box


def _write(path: Path, header: Iterable[str], rows: Iterable[tuple]) -> None:
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(header)
    table.writerows(rows)
    with written_beside(path) as beside:
        beside.write_bytes(text.getvalue().encode("utf-8", "surrogateescape"))
