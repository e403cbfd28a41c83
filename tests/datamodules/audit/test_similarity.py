import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.audit import similarity
from datamodules.audit.similarity import close_pairs

HASHES = st.lists(st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 3, 2**64 - 1]), max_size=40)


def _found(hashes, others=None, *, distance):
    arrays = [None if h is None else np.array(h, np.uint64) for h in (hashes, others)]
    found = close_pairs(*arrays, distance=distance)
    return [(int(a), int(b)) for i, j in found for a, b in zip(i, j, strict=True)]


@settings(deadline=None)
@given(hashes=HASHES, distance=st.integers(0, 64), block=st.sampled_from([1, 7, 512]))
def test_all_pairs_among_them_and_no_other(hashes, distance, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarity, "BLOCK", block)
        found = _found(hashes, distance=distance)
    expected = [
        (i, j)
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if (hashes[i] ^ hashes[j]).bit_count() <= distance
    ]
    assert sorted(found) == expected


@settings(deadline=None)
@given(hashes=HASHES, others=HASHES, distance=st.integers(0, 64))
def test_all_pairs_with_others(hashes, others, distance):
    expected = [
        (i, j)
        for i, first in enumerate(hashes)
        for j, second in enumerate(others)
        if (first ^ second).bit_count() <= distance
    ]
    assert sorted(_found(hashes, others, distance=distance)) == expected


def test_pairs_across_blocks():
    hashes = np.random.default_rng(0).integers(0, 2**64, 1300, dtype=np.uint64)
    hashes[1200] = hashes[3] ^ np.uint64(0b111)
    hashes[700] = hashes[699]
    assert sorted(_found(hashes, distance=3)) == [(3, 1200), (699, 700)]
