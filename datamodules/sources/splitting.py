"""Splitting images into train, val and test so that every split has its share of each class."""

import random
from collections import Counter
from collections.abc import Mapping


def stratified_split(
    groups: Mapping[str, Counter[int]], fractions: Mapping[str, float], seed: int
) -> dict[str, str]:
    """Assign each group (an image with the labels it holds) to one split.

    Iterative stratification of multi-label data (Sechidis, Tsoumakas, Vlahavas 2011): the class
    with the fewest unassigned items goes first, and each of its groups goes to the split that
    still lacks most of that class. A pure function of its arguments, whatever their order.

    Args:
        groups: For each group how many items of each label it has, at least one item.
        fractions: The share of each split; they sum to 1. The first named wins ties.
        seed: Shuffles the groups first.
    """
    left: Counter[int] = Counter()
    for labels in groups.values():
        left.update(labels)
    lacking = {split: {c: left[c] * f for c in sorted(left)} for split, f in fractions.items()}
    waiting = sorted(groups)
    random.Random(seed).shuffle(waiting)
    split_of: dict[str, str] = {}
    while waiting:
        rarest = min((c for c in left if left[c]), key=lambda c: (left[c], c))
        for group in _richest_first(waiting, groups, rarest):
            split_of[group] = _neediest(lacking, rarest)
            left.subtract(groups[group])
            for label, count in groups[group].items():
                lacking[split_of[group]][label] -= count
        waiting = [g for g in waiting if g not in split_of]
    return split_of


def _richest_first(waiting: list[str], groups: Mapping[str, Counter[int]], label: int) -> list[str]:
    # Groups with many items of the class are hard to place, so they go while there is room.
    return sorted((g for g in waiting if groups[g][label]), key=lambda g: -groups[g][label])


def _neediest(lacking: dict[str, dict[int, float]], label: int) -> str:
    return max(lacking, key=lambda split: (lacking[split][label], sum(lacking[split].values())))
