"""What a user should know of COCO files that were read: sentences, and what was left out."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

from datamodules.sources.coco.split import CocoSplit
from datamodules.sources.coco.turned_boxes import Evidence
from datamodules.sources.source import LeftOut


def left_out(parts: Sequence[CocoSplit]) -> tuple[LeftOut, ...]:
    """What of all files became no picture, each reason once."""
    found: dict[str, list[LeftOut]] = defaultdict(list)
    for part in parts:
        own = part.count.left_out()
        for reason, names in (
            ("images without boxes", part.without_boxes),
            ("listed images that are absent", part.absent),
        ):
            own += [LeftOut(reason, len(names), names[0])] if names else []
        for one in own:
            found[one.reason].append(one)
    return tuple(
        LeftOut(reason, sum(one.count for one in ones), ones[0].first)
        for reason, ones in found.items()
    )


def all_notes(
    parts: Sequence[CocoSplit], others: Evidence, *, empty: Sequence[str]
) -> Iterator[str]:
    """How a data set was understood.

    Args:
        parts: its annotation files.
        others: what turned photographs of all of them say.
        empty: the classes that have no box.
    """
    yield from _differences(parts)
    for part in parts:
        yield from _of_file(part, others)
    if empty:
        names = ", ".join(part.name for part in parts)
        yield f"{names}: no box is left of {', '.join(empty)}, so these classes are left out"


def _differences(parts: Sequence[CocoSplit]) -> Iterator[str]:
    """Of the files of a set: categories that some lack, images that two list, names too alike."""
    known = {part.name: set(part.categories.values()) for part in parts}
    everywhere = set().union(*known.values())
    for name, own in known.items():
        if lacking := sorted(everywhere - own):
            yield f"{name} lacks the categories {', '.join(lacking)} of the other files"
    for one, other in combinations(parts, 2):
        shared = sorted({*one.found.files.values()} & {*other.found.files.values()})
        if shared:
            yield (
                f"{len(shared)} images are listed in both {one.name} and {other.name}, first "
                f"{shared[0]!r}"
            )
    for part in parts:
        for name, count in Counter(part.categories.values()).items():
            if count > 1:
                yield f"{part.name}: {count} categories are called {name!r} and are one class"
    alike = defaultdict(set)
    for name in everywhere:
        alike[" ".join(name.casefold().split())].add(name)
    for names in alike.values():
        if len(names) > 1:
            yield (
                f"The categories {', '.join(map(repr, sorted(names)))} are almost the same and "
                "each a class; give them one name, or map them to one by data.source.class_map"
            )


def _of_file(part: CocoSplit, others: Evidence) -> Iterator[str]:
    if part.found.home and Path(part.name).parent != Path(part.found.home):
        yield f"{part.name}: its images lie in {part.found.home}"
    if by_ends := part.found.by_ends:
        first = by_ends[0]
        yield (
            f"{part.name}: {len(by_ends)} of {len(part.images)} listed images were found by the "
            f"ends of their names, first {first!r} as {part.found.files[first]!r}"
        )
    if part.repeated_ids:
        yield (
            f"{part.name}: {part.repeated_ids} annotation ids occur twice or more, and all their "
            "boxes are read"
        )
    if part.count.clipped:
        count = part.count
        yield f"{part.name}: clipped {count.clipped} of {count.boxes} boxes to their image"
    if suspicious := part.corners_suspected(others):
        yield (
            f"{part.name}: the boxes look like corners (x0, y0, x1, y1) instead of x, y, width, "
            f"height, as {suspicious} of {part.count.boxes} reach far beyond their image and as "
            "corners they fit: if so, give data.source.box_format=xyxy"
        )
    yield from _of_turned(part, others)


def _of_turned(part: CocoSplit, others: Evidence) -> Iterator[str]:
    """What became of the boxes of photographs that their EXIF orientation turns."""
    if part.boxes_on == "raw" and (raw := part.raw(others)):
        yield (
            f"{part.name}: photographs turned by EXIF, whose boxes are turned with them as "
            f"data.source.boxes=raw says: {len(raw)}"
        )
    if part.evidence.raw and part.boxes_on == "auto":
        yield (
            f"{part.name}: photographs turned by EXIF that are annotated as their pixels are "
            f"stored, so that their boxes are turned with them: {part.evidence.raw}"
        )
    if part.evidence.unknown and part.boxes_on == "auto":
        decided = part.evidence if part.evidence.raw or part.evidence.upright else others
        place, other = ("stored", "upright") if decided.says_raw else ("upright", "raw")
        reason = (
            "as in the other turned photographs"
            if decided.raw or decided.upright
            else f"and if pictures show other things, give data.source.boxes={other}"
        )
        yield (
            f"{part.name}: photographs turned by EXIF of which the annotated size, missing or the "
            f"same either way, cannot tell what boxes were drawn on: {part.evidence.unknown}; they "
            f"are taken as drawn on the {place} image, {reason}"
        )
