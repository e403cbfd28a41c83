"""Assigning images to splits so that every split has its part of each class."""

import random
from collections import Counter
from collections.abc import Mapping


def stratified_split(
    groups: Mapping[str, Counter[int]],
    fractions: Mapping[str, float],
    seed: int,
    *,
    known: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Assign each group (an image with the labels it holds) to one split.

    Iterative stratification of multi-label data (Sechidis, Tsoumakas, Vlahavas 2011): the class
    with the fewest unassigned items goes first, and each of its groups goes to the split that
    still lacks most of that class. The last groups of a class go to splits that it has not reached,
    so that three groups reach three splits, and two the first two. A pure function of its
    arguments, whatever their order.

    Args:
        groups: for each group how many items of each label it has, at least one item.
        fractions: the fraction of each split; they sum to 1. The first named wins ties.
        seed: shuffles the groups first.
        known: groups that are assigned already, and stay where they are.
    """
    split_of = {group: split for group, split in (known or {}).items() if group in groups}
    left = _items_per_label(groups)
    lacking = _wanted_items(groups, left, fractions)
    reached: dict[str, set[int]] = {split: set() for split in fractions}
    for group, split in split_of.items():
        _place(groups[group], lacking[split], left)
        reached[split] |= groups[group].keys()
    are_folds = len(set(fractions.values())) == 1
    waiting = sorted(set(groups) - set(split_of))
    random.Random(seed).shuffle(waiting)
    while waiting:
        rarest = min((c for c in left if left[c]), key=lambda c: (left[c], c))
        chosen = _richest_first(waiting, groups, rarest)
        for number, group in enumerate(chosen):
            among, remaining = list(fractions), len(chosen) - number
            without = [split for split in among if rarest not in reached[split]]
            if remaining <= len(without):
                among = without if are_folds else without[:remaining]
            split = _neediest(lacking, rarest, among)
            split_of[group] = split
            _place(groups[group], lacking[split], left)
            reached[split] |= groups[group].keys()
        waiting = [g for g in waiting if g not in split_of]
    return split_of


def groups_per_label(groups: Mapping[str, Counter[int]]) -> Counter[int]:
    """How many groups hold each label."""
    return Counter(label for labels in groups.values() for label in labels)


def _items_per_label(groups: Mapping[str, Counter[int]]) -> Counter[int]:
    total: Counter[int] = Counter()
    for labels in groups.values():
        total.update(labels)
    return total


def _wanted_items(
    groups: Mapping[str, Counter[int]], total: Counter[int], fractions: Mapping[str, float]
) -> dict[str, dict[int, float]]:
    """How many items of each label a split should get."""
    wanted = {split: {c: total[c] * f for c in sorted(total)} for split, f in fractions.items()}
    if len(fractions) > 1:
        second = wanted[list(fractions)[1]]
        for label, count in groups_per_label(groups).items():
            if count > 1:  # 15 % of two images is less than one, and none could be measured
                second[label] = max(second[label], 1)
    return wanted


def _place(labels: Counter[int], lacking: dict[int, float], left: Counter[int]) -> None:
    left.subtract(labels)
    for label, count in labels.items():
        lacking[label] -= count


def _richest_first(waiting: list[str], groups: Mapping[str, Counter[int]], label: int) -> list[str]:
    # Groups with many items of the class are hard to place, so they go while there is room.
    return sorted((g for g in waiting if groups[g][label]), key=lambda g: -groups[g][label])


def _neediest(lacking: dict[str, dict[int, float]], label: int, among: list[str]) -> str:
    return max(among, key=lambda split: (lacking[split][label], sum(lacking[split].values())))
