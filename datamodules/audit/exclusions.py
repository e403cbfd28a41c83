"""What an audit would leave out of the data: a list for a person to review."""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from datamodules.audit.audit import Audit
from datamodules.audit.duplicates import KINDS, Resemblance, duplicate_type
from datamodules.errors import shown
from datamodules.sources import Item
from datamodules.splits import Excluded

# Why something is listed, and what it is called.
REASONS = {
    "corrupt": "files that cannot be read",
    "leakage": "copies of images of a later split",
    "conflicts": "equal images with contradicting labels",
    "labels": "likely wrong labels",
}
# Evaluated splits stay as the user made them: of copies, the one in the earlier split goes.
ORDER = ("train", "val", "test")


class Exclusions(NamedTuple):
    """What is listed, in the order of the data, and how much of it for which reason."""

    listed: list[Excluded]
    counts: dict[str, int]


def list_exclusions(audit: Audit, reasons: Collection[str]) -> Exclusions:
    """The images, or boxes of them, that are better left out.

    Args:
        audit: what was found.
        reasons: which of `REASONS` count.
    """
    find = {
        "corrupt": _corrupt,
        "leakage": _leaking,
        "conflicts": _contradicting,
        "labels": _mislabelled,
    }
    why: dict[tuple, list[str]] = {}
    counts = {}
    for reason in (name for name in REASONS if name in reasons):
        found = dict.fromkeys(find[reason](audit))
        counts[reason] = len({(item.group, item.box) for item, _ in found})
        for item, words in found:
            why.setdefault((item.group, item.box), []).append(words)
    items = dict.fromkeys((i.group, i.box) for part in audit.index.splits.values() for i in part)
    listed = [Excluded(*key, "; ".join(why[key])) for key in items if key in why]
    return Exclusions(listed, counts)


def _corrupt(audit: Audit) -> Iterator[tuple[Item, str]]:
    for bad in audit.bad:
        for item in bad.items:
            yield item, f"corrupt: {bad.reason}"


def _leaking(audit: Audit) -> Iterator[tuple[Item, str]]:
    """Members of an earlier split that have a copy in a later one."""
    pictures = audit.pictures
    resemblance = Resemblance(pictures, distance=audit.distance)
    for group in audit.duplicates[KINDS[-1]]:
        ordered = [m for m in group.members if pictures[m].split in ORDER]
        for member in ordered:
            split = pictures[member].split
            after = ORDER[ORDER.index(split) + 1 :]
            later = [m for m in ordered if pictures[m].split in after]
            for copy in resemblance.copies(member, later)[:1]:
                other = pictures[copy]
                kind = duplicate_type(pictures[member], other)
                where = f"{other.split} {shown(other.item.group)}"
                yield pictures[member].item, f"{split} copy of {where} ({kind}), which stays"


def _contradicting(audit: Audit) -> Iterator[tuple[Item, str]]:
    for group in audit.duplicates[KINDS[1]]:
        if group.across_classes:
            names = sorted({audit.class_of(audit.pictures[m].item) for m in group.members})
            for member in group.members:
                yield audit.pictures[member].item, f"same pixels labelled {' and '.join(names)}"


def _mislabelled(audit: Audit) -> Iterator[tuple[Item, str]]:
    for issue in audit.labels.found if audit.labels else ():
        seen = shown(audit.index.class_names[issue.suggested])
        yield issue.item, f"likely wrong label: seen as {seen} ({issue.suggested_confidence:.2f})"
