"""The audit for the screen."""

import itertools
from collections.abc import Iterator, Sequence

from datamodules.audit.audit import Audit
from datamodules.audit.duplicates import KINDS, Group
from datamodules.audit.label_issues import LabelIssues
from datamodules.audit.tables import LABEL_COLUMNS, QUANTILES, count_rows, label_rows, size_rows
from datamodules.contact_sheets import numbered
from datamodules.errors import shown
from datamodules.screen import ScreenTable

MAX_CLASSES = 40  # rows; counts.csv has all
NAMED = 5  # of each kind of finding
SUSPECTS = 10  # rows; labels.csv has all


def summary(audit: Audit) -> Iterator[ScreenTable | str]:
    """Tables and sentences, to be printed one after the other."""
    yield f"files below {shown(audit.folder)}"
    yield _counts(audit)
    yield _sizes(audit)
    yield from _extremes(audit)
    yield _duplicates(audit)
    groups = audit.duplicates[KINDS[-1]]
    conflicts = [group for group in groups if group.across_classes]
    leaks = [group for group in groups if group.across_splits]
    yield from _named(
        "label conflicts (groups across classes)", [_pair(audit, group) for group in conflicts]
    )
    leaking = [_pair(audit, group, by_split=True) for group in leaks]
    yield from _named("leakage (groups across splits)", leaking)
    corrupt = [f"{b.split} {audit.file_name(b.items[0])}: {b.reason}" for b in audit.bad]
    yield from _named("corrupt files", corrupt)
    odd = [f"{o.picture.split} {audit.name(o.picture.item)}: {o.what}" for o in audit.issues]
    yield from _named("odd pictures", odd)
    if legend := numbered(audit.index.class_names).legend:
        yield legend
    if audit.labels:
        yield from _label_issues(audit, audit.labels)


def _counts(audit: Audit) -> ScreenTable:
    table = ScreenTable(title="items of each class")
    table.add_column("class")
    for split in [*audit.index.splits, "total"]:
        table.add_column(split, number=True)
    rows = sorted(count_rows(audit), key=lambda row: -row[-1])
    for row in rows[:MAX_CLASSES]:
        table.add_row(*map(str, row))
    table.add_section()
    name = f"all {len(rows)} classes"
    table.add_row(name, *(str(sum(column)) for column in list(zip(*rows, strict=True))[1:]))
    return table


def _sizes(audit: Audit) -> ScreenTable:
    table = ScreenTable(title="sizes in pixels")
    for column in ("split", "what", *QUANTILES):
        table.add_column(column, number=column in QUANTILES)
    for split, what, *values in size_rows(audit):
        table.add_row(split, what, *(f"{value:g}" for value in values))
    return table


def _extremes(audit: Audit) -> Iterator[str]:
    for word, choose in (("smallest", min), ("largest", max)):
        picture = choose(audit.pictures, key=lambda p: p.width * p.height)
        size = f"{picture.width} x {picture.height}"
        yield f"{word} picture: {size}, {picture.split} {audit.name(picture.item)}"


def _duplicates(audit: Audit) -> ScreenTable:
    table = ScreenTable(title="duplicates (each row includes those above it)")
    table.add_column("duplicates")
    for column in ("groups", "pictures", "groups across classes", "groups across splits"):
        table.add_column(column, number=True)
    for kind, groups in audit.duplicates.items():
        pictures = sum(len(group.members) for group in groups)
        across = sum(g.across_classes for g in groups), sum(g.across_splits for g in groups)
        table.add_row(kind, *map(str, (len(groups), pictures, *across)))
    return table


def _label_issues(audit: Audit, labels: LabelIssues) -> Iterator[ScreenTable | str]:
    yield (
        f"likely wrong labels: {len(labels.found) or 'none'} of {labels.checked} checked "
        f"(accuracy of the predictions {labels.accuracy:.3f})"
    )
    yield from (f"  {note}" for note in labels.notes)
    if labels.found:
        rows = list(itertools.islice(label_rows(audit), SUSPECTS))
        table = ScreenTable(title=f"likely wrong labels, the first {len(rows)}")
        empty = [not any(column) for column in zip(*rows, strict=True)]  # of boxes
        for column, nothing in zip(LABEL_COLUMNS, empty, strict=True):
            if not nothing:
                numeric = column == "rank" or column.endswith("confidence")
                table.add_column(column.replace("_", " "), number=numeric)
        for row in rows:
            cells = (cell for cell, nothing in zip(row, empty, strict=True) if not nothing)
            table.add_row(*(shown(str(cell)) for cell in cells))
        yield table


def _named(what: str, found: Sequence[str]) -> Iterator[str]:
    """A heading with the number found, and the first few."""
    yield f"{what}: {len(found) or 'none'}"
    yield from (f"  {shown(line)}" for line in found[:NAMED])
    if len(found) > NAMED:
        yield f"  and {len(found) - NAMED} more"


def _pair(audit: Audit, group: Group, *, by_split: bool = False) -> str:
    """The first picture of a group and the first that differs in class, or in split."""
    first = audit.pictures[group.members[0]]

    def differs(member: int) -> bool:
        other = audit.pictures[member]
        if by_split:
            return other.split != first.split
        return other.item.label != first.item.label

    second = audit.pictures[next(filter(differs, group.members))]
    return " = ".join(
        f"{p.split} {audit.class_of(p.item)} ({audit.name(p.item)})" for p in (first, second)
    )
