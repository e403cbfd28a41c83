from collections import Counter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from datamodules.loading.sampling import DUPLICATE_OFFSET, EpochSampler


def _sampler(**changes) -> EpochSampler:
    settings = {"size": 10, "batch_size": 4, "seed": 0, "drop_last": False}
    return EpochSampler(**{**settings, **changes})


def _indices(sampler) -> list[int]:
    return [index for batch in sampler for _, index in batch]


def test_every_image_once_with_its_epoch():
    sampler = _sampler()
    sampler.set_epoch(3)
    batches = list(sampler)
    assert [len(batch) for batch in batches] == [4, 4, 2] and len(sampler) == 3
    assert sorted(_indices(sampler)) == list(range(10))
    assert {epoch for batch in batches for epoch, _ in batch} == {3}


def test_order_is_a_function_of_seed_and_epoch():
    sampler = _sampler(size=50)
    first = _indices(sampler)
    assert _indices(sampler) == first
    sampler.set_epoch(1)
    assert _indices(sampler) != first
    sampler.set_epoch(0)
    assert _indices(sampler) == first == _indices(_sampler(size=50))
    assert _indices(_sampler(size=50, seed=1)) != first


def test_without_shuffling():
    assert _indices(_sampler(shuffle=False)) == list(range(10))


@pytest.mark.parametrize(
    ("size", "lengths"), [(10, [4, 4]), (8, [4, 4]), (4, [4]), (3, [3]), (5, [4])]
)
def test_drop_last_keeps_a_single_batch(size, lengths):
    sampler = _sampler(size=size, drop_last=True)
    assert [len(batch) for batch in sampler] == lengths and len(sampler) == len(lengths)


@pytest.mark.parametrize("size", [9, 10, 11, 25, 3])
def test_ranks_share_the_images_and_none_counts_twice(size):
    samplers = [_sampler(size=size, rank=rank, world_size=3) for rank in range(3)]
    parts = [_indices(sampler) for sampler in samplers]
    assert [len(s) for s in samplers] == [len(list(s)) for s in samplers]
    assert sorted(index for part in parts for index in part) == list(range(size))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("size", [24, 25, 26, 31, 7])
def test_batches_of_all_ranks_are_the_batches_of_one_process(size):
    whole = _sampler(size=size, batch_size=8, drop_last=True)
    samplers = [
        _sampler(size=size, batch_size=4, drop_last=True, rank=rank, world_size=2)
        for rank in range(2)
    ]
    for epoch in range(3):
        for sampler in (whole, *samplers):
            sampler.set_epoch(epoch)
        together = [a + b for a, b in zip(*samplers, strict=True)]
        if size < 8:  # one small batch, as large for each
            assert [len(batch) for batch in together] == [size // 2 * 2]
            continue
        expected = [sorted(batch) for batch in whole]
        assert [sorted(batch) for batch in together] == expected


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0, 5), min_size=2, max_size=40), st.integers(0, 5))
def test_weighted_images_come_as_often_as_they_are_due(weights, epoch):
    assume(sum(weights) > 0.1)
    sampler = _sampler(size=len(weights), weights=weights)
    sampler.set_epoch(epoch)
    drawn = Counter(_indices(sampler))
    assert sum(drawn.values()) == len(weights)
    for index, weight in enumerate(weights):
        due = weight * len(weights) / sum(weights)
        assert abs(drawn[index] - due) < 1 + 1e-9


def test_repeated_images_have_keys_of_their_own():
    sampler = _sampler(size=6, weights=[10, 1, 0, 0, 0, 0])
    sampler.set_epoch(2)
    keys = [key for batch in sampler for key in batch]
    assert len(set(keys)) == 6 and {index for _, index in keys} <= {0, 1}
    assert sorted(epoch for epoch, index in keys if index == 0)[:2] == [2, 2 + DUPLICATE_OFFSET]


def test_equal_weights_draw_each_image_once():
    assert sorted(_indices(_sampler(weights=[3.0] * 10))) == list(range(10))


def test_augmentations_repeat_their_epochs_in_new_orders():
    sampler, seen = _sampler(augmentation_repeats=2), []
    for epoch in range(4):
        sampler.set_epoch(epoch)
        keys = [key for batch in sampler for key in batch]
        assert {repeat for repeat, _ in keys} == {epoch % 2}
        seen.append([index for _, index in keys])
    assert seen[0] != seen[2] and sorted(seen[0]) == sorted(seen[2])
    assert seen == [_indices(s) for s in _at_epochs(4)]


def _at_epochs(epochs):
    for epoch in range(epochs):
        sampler = _sampler()
        sampler.set_epoch(epoch)
        yield sampler


def test_images_drawn_twice_show_another_augmentation():
    sampler = _sampler(weights=[5.0] + [1.0] * 9, augmentation_repeats=3)
    keys = [key for batch in sampler for key in batch if key[1] == 0]
    assert len(keys) >= 3 and {repeat for repeat, _ in keys[:3]} == {0, 1, 2}
