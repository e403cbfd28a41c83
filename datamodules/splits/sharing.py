"""Sharing images out to splits: groups of copies stay together, and what a split lacks is said."""

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain

from datamodules.sources import Item
from datamodules.splits.arrangement import LABELLED
from datamodules.splits.stratification import stratified_split

log = logging.getLogger(__name__)

NAMED = 10  # classes in a sentence


def share_out(
    items: Sequence[Item],
    fractions: Mapping[str, float],
    seed: int,
    *,
    known: Mapping[str, str],
    copies: Mapping[str, str],
) -> dict[str, str]:
    """Image -> split, stratified by class; what is known stays.

    Args:
        items: what is shared out, with what is known.
        fractions: the fraction of each split; they sum to 1.
        seed: of the splitting.
        known: image -> split, where that is decided already.
        copies: image -> the name of its group of copies, which joins one split; images that are
            alone may be absent. Of a group that is known in part, the rest joins most of it.
    """
    labels: dict[str, Counter[int]] = defaultdict(Counter)
    decided: dict[str, Counter[str]] = defaultdict(Counter)
    group_of = {item.group: copies.get(item.group, item.group) for item in items}
    for item in items:
        labels[group_of[item.group]][item.label] += 1
    for image, group in group_of.items():
        if image in known:
            decided[group][known[image]] += 1
    most = {group: max(fractions, key=lambda split: of[split]) for group, of in decided.items()}
    split_of = stratified_split(labels, fractions, seed, known=most)
    return {image: known.get(image, split_of[group]) for image, group in group_of.items()}


def tell_missing_classes(class_names: Sequence[str], splits: Mapping[str, Sequence[Item]]) -> None:
    """Warn, in one line, of classes that have no image in a split.

    Args:
        class_names: a label is an index into them.
        splits: split -> its items; those without labels say nothing.
    """
    labelled = {split: items for split, items in splits.items() if split in LABELLED}
    images: dict[int, set[str]] = defaultdict(set)
    for item in chain.from_iterable(labelled.values()):
        images[item.label].add(item.group)
    lacking = []
    for split, items in labelled.items():
        there = {item.label for item in items}
        names = [f"{class_names[c]} ({len(images[c])})" for c in sorted(images) if c not in there]
        if names:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            lacking.append(f"{split} has no image of {', '.join(names[:NAMED])}{more}")
    if lacking:
        log.warning(
            "Classes with few images are missing in a split: %s; add images, or leave them out.",
            "; ".join(lacking),
        )
