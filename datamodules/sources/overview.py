"""What was found in a data set, in lines for a person: classes, images, and what was left out."""

import re
from collections import Counter
from collections.abc import Sequence

from datamodules.errors import shown
from datamodules.sources.source import Index, LeftOut

SHOWN = 12  # classes that are listed one by one
SHOWN_REASONS = 8
_PLURAL = re.compile(
    r"\b(box(?=es)|file|folder|image|link|member|row|sample|split|table|thumbnail)(?:e?s)\b"
)
MADE = ("train", "val", "test")  # what images without ready splits are shared out to


def overview_lines(index: Index) -> tuple[str, ...]:
    """Three lines, and one for each thing that could have been understood otherwise.

    Args:
        index: what a source found, split or not.
    """
    lines = [
        f"classes   {len(index.class_names)}: {_names(index)}",
        f"{_kind(index):<9} {'; '.join(part for part in (_counts(index), _splits(index)) if part)}",
        f"left out  {left_out_text(index.left_out) or 'nothing'}",
        *(f"read as   {note}" for note in index.notes),
    ]
    return tuple(shown(" ".join(line.splitlines())) for line in lines)


def _kind(index: Index) -> str:
    boxed = any(item.box is not None for items in index.splits.values() for item in items[:1])
    return "boxes" if boxed else "images"


def _names(index: Index) -> str:
    names = index.class_names
    if len(names) <= SHOWN:
        return ", ".join(names)
    return f"{', '.join(names[: SHOWN - 2])}, ... {names[-1]}"


def _counts(index: Index) -> str:
    labels = Counter(item.label for items in index.splits.values() for item in items)
    of_class = {name: labels[label] for label, name in enumerate(index.class_names)}
    if len(of_class) <= SHOWN:
        return ", ".join(
            f"{name} {count}{_nested(index.nested.get(name, 0))}"
            for name, count in of_class.items()
        )
    fewest, most = min(of_class, key=of_class.__getitem__), max(of_class, key=of_class.__getitem__)
    total = sum(of_class.values())
    return (
        f"{total}{_nested(sum(index.nested.values()))}, of a class {of_class[fewest]} ({fewest}) "
        f"to {of_class[most]} ({most})"
    )


def _nested(count: int) -> str:
    return f" ({count} from sub-folders)" if count else ""


def _splits(index: Index) -> str:
    """How many images each split has, and where they come from."""
    parts = []
    shared = [] if "unsplit" not in index.sources else [s for s in MADE if s in index.splits]
    shared = [split for split in shared if split not in index.sources]
    if shared:
        counts = ", ".join(f"{split} {len(index.splits[split])}" for split in shared)
        parts.append(f"{counts} shared out{_of(index.sources['unsplit'])}")
    for split, items in index.splits.items():
        if split not in shared:
            told = "to be shared out" if split == "unsplit" else f"{split} {len(items)}"
            parts.append(f"{told}{_of(index.sources.get(split, ''))}")
    return ", ".join(parts)


def _of(folder: str) -> str:
    return f" of {folder}" if folder else ""


def left_out_text(left_out: Sequence[LeftOut]) -> str:
    """How many files were left out, each reason with the name of one of them."""
    found = [_one_left_out(one) for one in left_out]
    if len(found) > SHOWN_REASONS:
        rest = sum(one.count for one in left_out[SHOWN_REASONS:])
        found = [*found[:SHOWN_REASONS], f"{rest} for other reasons"]
    return shown(" ".join(", ".join(found).splitlines()))


def _one_left_out(one: LeftOut) -> str:
    reason = _PLURAL.sub(r"\1", one.reason, count=1) if one.count == 1 else one.reason
    return f"{one.count} {reason}" + (f" ({one.first})" if one.first else "")
