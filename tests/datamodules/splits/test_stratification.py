from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.splits.stratification import stratified_split

FRACTIONS = {"train": 0.7, "val": 0.15, "test": 0.15}
labels = st.lists(st.integers(0, 4), min_size=1, max_size=6).map(Counter)
groups = st.dictionaries(st.text("abcdef", min_size=1, max_size=6), labels, max_size=60)


@settings(deadline=None, max_examples=60)
@given(groups, st.integers(0, 9))
def test_every_group_once_and_any_order(groups, seed):
    split_of = stratified_split(groups, FRACTIONS, seed)
    assert set(split_of) == set(groups)
    assert set(split_of.values()) <= set(FRACTIONS)
    backwards = dict(reversed(groups.items()))
    assert stratified_split(backwards, FRACTIONS, seed) == split_of


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 4), min_size=20, max_size=200), st.integers(0, 9))
def test_single_label_groups_get_their_share(labels, seed):
    groups = {f"g{n}": Counter([label]) for n, label in enumerate(labels)}
    split_of = stratified_split(groups, FRACTIONS, seed)
    for label, total in Counter(labels).items():
        for split, fraction in FRACTIONS.items():
            got = sum(split_of[g] == split for g, c in groups.items() if c[label])
            assert abs(got - fraction * total) <= 1 or (total == 3 and got == 1)


def test_rarest_class_reaches_every_split():
    groups = {f"g{n}": Counter({0: 3, 1: int(n < 10)}) for n in range(100)}
    split_of = stratified_split(groups, FRACTIONS, 0)
    rare = Counter(split_of[f"g{n}"] for n in range(10))
    assert rare["train"] == 7 and rare["val"] + rare["test"] == 3
    assert Counter(split_of.values()) == {"train": 70, "val": 15, "test": 15}


def test_seed_changes_the_split():
    groups = {f"g{n}": Counter([n % 2]) for n in range(40)}
    assert stratified_split(groups, FRACTIONS, 0) != stratified_split(groups, FRACTIONS, 1)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=30), min_size=1, max_size=8),
    st.integers(0, 9),
)
def test_three_groups_of_a_class_reach_three_splits_and_two_the_first_two(classes, seed):
    groups = {
        f"{label}/{n}": Counter({label: size})
        for label, sizes in enumerate(classes)
        for n, size in enumerate(sizes)
    }
    split_of = stratified_split(groups, FRACTIONS, seed)
    for label, sizes in enumerate(classes):
        reached = {split_of[f"{label}/{n}"] for n in range(len(sizes))}
        assert reached == set(list(FRACTIONS)[: len(sizes)])
        for split, fraction in FRACTIONS.items():
            got = sum(n for i, n in enumerate(sizes) if split_of[f"{label}/{i}"] == split)
            # No further from its share than the largest group, or the two that must be elsewhere.
            assert abs(got - fraction * sum(sizes)) <= 2 * max(sizes)


@pytest.mark.parametrize(
    ("count", "right"),
    [(1, (1, 0, 0)), (2, (1, 1, 0)), (3, (1, 1, 1)), (4, (2, 1, 1)), (5, (3, 1, 1))],
)
def test_few_images_of_each_of_100_classes(count, right):
    groups = {f"{label}/{n}": Counter([label]) for label in range(100) for n in range(count)}
    split_of = stratified_split(groups, FRACTIONS, 0)
    for label in range(100):
        found = Counter(split_of[f"{label}/{n}"] for n in range(count))
        assert tuple(found[split] for split in FRACTIONS) == right


@pytest.mark.parametrize("count", [2, 3, 6])
def test_rare_classes_can_be_trained_on_and_measured(count):
    groups = {f"g{n}": Counter([int(n < count)]) for n in range(80)}
    split_of = stratified_split(groups, FRACTIONS, 3)
    rare = Counter(split_of[f"g{n}"] for n in range(count))
    assert rare["train"] >= 1 and rare["val"] == 1


def test_a_class_in_one_image_is_trained_on():
    groups = {f"g{n}": Counter([int(n == 5)]) for n in range(20)}
    assert stratified_split(groups, FRACTIONS, 0)["g5"] == "train"


@settings(deadline=None, max_examples=60)
@given(groups, st.integers(0, 9), st.data())
def test_known_groups_stay_and_new_ones_fill_up(groups, seed, data):
    first = stratified_split(groups, FRACTIONS, seed)
    subset = data.draw(st.sets(st.sampled_from(sorted(groups)))) if groups else set()
    known = {group: first[group] for group in subset}
    again = stratified_split(groups, FRACTIONS, seed, known={**known, "gone": "val"})
    assert set(again) == set(groups)
    assert all(again[group] == split for group, split in known.items())
