"""The audit as contact sheets: examples of each class, groups of duplicates, damaged files."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from datamodules.audit.audit import Audit
from datamodules.audit.duplicates import KINDS, Group, counterpart, duplicate_type
from datamodules.audit.label_issues import LabelIssue, LabelIssues
from datamodules.audit.reading import BadFile, Picture, decode_truncated
from datamodules.contact_sheets import (
    ORANGE,
    RED,
    Color,
    Section,
    Tile,
    numbered,
    save_contact_sheet,
)
from datamodules.decoding import decode_crops
from datamodules.errors import shown
from datamodules.sources import Item

SIDE = 160  # of a shown picture, in pixels
EXAMPLES = 30  # of a class
GROUPS, MEMBERS = 40, 6  # shown on the sheet of duplicates; the table has all
ODD = 60
SUSPECTS = 60  # likely wrong labels; the table has all
LABEL_SHEET = "labels.png"
NOT_IN_NAMES = re.compile(r"[^\w.-]+")  # of files


def write_sheets(audit: Audit, folder: Path) -> None:
    """Write class_<name>.png for each class; duplicates, odd and labels.png where there are any."""
    written = numbered(audit.index.class_names).names
    for number, name in enumerate(audit.index.class_names):
        pictures = [p for p in audit.pictures if p.item.label == number]
        if pictures:
            title = f"{written[number]}: {min(EXAMPLES, len(pictures))} of {len(pictures)} pictures"
            tiles = [_tile(audit, picture) for picture in _spread(pictures, EXAMPLES)]
            path = folder / f"class_{number:02d}_{NOT_IN_NAMES.sub('_', name)}.png"
            save_contact_sheet(path, [Section(tiles)], title=title, side=SIDE)
    groups = list(enumerate(audit.duplicates[KINDS[-1]], start=1))
    if groups:
        shown = sorted(groups, key=lambda g: (-g[1].across_classes, -g[1].across_splits))[:GROUPS]
        title = f"duplicates: {len(shown)} of {len(groups)} groups; duplicates.csv has all"
        sections = [_group(audit, number, group) for number, group in shown]
        save_contact_sheet(folder / "duplicates.png", sections, title=title, side=SIDE)
    _write_odd(audit, folder)
    if audit.labels and audit.labels.found:
        _write_labels(audit, audit.labels, folder / LABEL_SHEET)


def _write_labels(audit: Audit, labels: LabelIssues, path: Path) -> None:
    shown_ones = labels.found[:SUSPECTS]
    title = f"likely wrong labels: {len(shown_ones)} of {len(labels.found)}, the likeliest first"
    tiles = [_suspect(audit, rank, issue) for rank, issue in enumerate(shown_ones, start=1)]
    save_contact_sheet(path, [Section(tiles)], title=title, side=SIDE)


def _suspect(audit: Audit, rank: int, issue: LabelIssue) -> Tile:
    crop = _crop(audit, issue.item)
    suggested = numbered(audit.index.class_names).names[issue.suggested]
    caption = (
        f"{rank}: given {audit.class_of(issue.item)} ({issue.self_confidence:.2f})",
        f"seen as {suggested} ({issue.suggested_confidence:.2f})",
        shown(issue.item.group),
    )
    return Tile(crop, caption)


def _write_odd(audit: Audit, folder: Path) -> None:
    damaged = [tile for bad in audit.bad[:ODD] if (tile := _damaged(audit, bad))]
    odd = [_tile(audit, odd.picture, odd.what) for odd in audit.issues[:ODD]]
    sections = [
        Section(damaged, f"damaged: what can still be seen of {len(audit.bad)} corrupt files"),
        Section(odd, f"odd: {len(odd)} of {len(audit.issues)}; odd.csv has all"),
    ]
    sections = [section for section in sections if section.tiles]
    if sections:
        save_contact_sheet(folder / "odd.png", sections, title="corrupt and odd", side=SIDE)


def _group(audit: Audit, number: int, group: Group) -> Section:
    members = _diverse_first(audit, group)
    pictures = [audit.pictures[member] for member in members[:MEMBERS]]
    pairs = [(audit.pictures[m], _counterpart(audit, m, group)) for m in group.members]
    weakest = max((duplicate_type(*pair) for pair in pairs), key=KINDS.index)
    words = [f"group {number}: {weakest}"]
    words += ["different classes"] * group.across_classes + ["leakage"] * group.across_splits
    if len(pictures) < len(members):
        words.append(f"{len(pictures)} of {len(members)} shown")
    frame = RED if group.across_classes else ORANGE if group.across_splits else None
    tiles = [_tile(audit, picture, frame=frame) for picture in pictures]
    return Section(tiles, ", ".join(words))


def _counterpart(audit: Audit, member: int, group: Group) -> Picture:
    return audit.pictures[counterpart(member, group, audit.pictures)]


def _diverse_first(audit: Audit, group: Group) -> list[int]:
    """The members, first one of each split and class."""
    firsts: dict[tuple[str, int], int] = {}
    for member in group.members:
        picture = audit.pictures[member]
        firsts.setdefault((picture.split, picture.item.label), member)
    chosen = list(firsts.values())
    return chosen + [member for member in group.members if member not in chosen]


def _spread(pictures: Sequence[Picture], count: int) -> Iterator[Picture]:
    """At most `count` of them, from the first to the last at equal steps."""
    chosen = np.linspace(0, len(pictures) - 1, min(count, len(pictures)))
    yield from (pictures[round(position)] for position in chosen)


def _tile(audit: Audit, picture: Picture, what: str = "", *, frame: Color | None = None) -> Tile:
    crop = _crop(audit, picture.item)
    box = picture.item.box
    size = f"{picture.width} x {picture.height}" + (f" at {box[0]}, {box[1]}" if box else "")
    place = _place(audit, picture.split, picture.item)
    return Tile(crop, (*place, size, what) if what else (*place, size), frame)


def _crop(audit: Audit, item: Item) -> np.ndarray:
    """uint8 SIDE x SIDE x 3."""
    size, levels = (SIDE, SIDE), audit.levels
    return decode_crops(item.path, [item.box], size=size, resize_mode="pad", levels=levels)[0]


def _damaged(audit: Audit, bad: BadFile) -> Tile | None:
    pixels = decode_truncated(bad.path)
    if pixels is None:
        return None
    return Tile(pixels, (*_place(audit, bad.split, bad.items[0]), bad.reason), frame=RED)


def _place(audit: Audit, split: str, item: Item) -> tuple[str, str]:
    known = item.label >= 0
    name = numbered(audit.index.class_names).names[item.label] if known else audit.class_of(item)
    return f"{split} / {name}", audit.file_name(item)
