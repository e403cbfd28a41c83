"""Whether two pictures show the same: a perceptual hash finds candidates, a thumbnail confirms.

The hash alone calls any two small things in the middle of a plain ground alike. On TrashNet, 31 of
2.2 million pairs differ in 6 bits or fewer; 23 of these correlate by 0.95 or more, and all 23 show
the same thing in the same place. At 8 bits (56 pairs, 27 of them correlated) others join them, such
as a brown bottle's neck and a green one's. Of 1 500 drawn pictures no two are called alike.
A thumbnail tells less of small pictures, of which many are alike in it: on Fashion-MNIST (60 000
of 28 x 28) 288 711 pairs are, most of them two shirts. The details of two small ones must agree as
well, which leaves 327 groups of 2 to 4.
"""

import math
from collections.abc import Iterator

import numpy as np
from PIL import Image

THUMBNAIL = 16  # side of a thumbnail, in pixels
DISTANCE = 6  # bits of 64 in which the hashes of look-alikes may differ
CORRELATION = 0.95  # minimum correlation of the thumbnails of look-alikes
# The 8 lowest frequencies of 16 values: DCT of type II.
LOWEST = np.cos(np.pi / THUMBNAIL * np.outer(np.arange(8), np.arange(THUMBNAIL) + 0.5))
SMALL = 64  # side of images, in pixels, below which their details must agree as well
DETAIL = 32  # side at which they are compared
SAME_DETAIL = 0.99  # minimum correlation of the details of look-alikes
LOWEST_OF_DETAIL = np.cos(np.pi / DETAIL * np.outer(np.arange(8), np.arange(DETAIL) + 0.5))
BLOCK = 512  # hashes: 512 x 512 differences fit into a core's cache
PLAIN = 4.0  # standard deviation of a thumbnail's grey levels below which there is nothing to see


def perceptual_hash(image: Image.Image) -> int:
    """64 bits, the signs of an image's lowest frequencies (pHash, Zauner 2010, by imagehash)."""
    import imagehash

    return int.from_bytes(np.packbits(imagehash.phash(image).hash).tobytes(), "little")


def thumbnail(image: Image.Image) -> np.ndarray:
    """Grey levels of an image at 16 x 16 pixels, uint8."""
    # By whole factors at first, which is faster, but to no less than 64 x 64: else the same image
    # in another size would get another thumbnail.
    size = (THUMBNAIL, THUMBNAIL)
    small = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=4)
    return np.asarray(small.convert("L"))


def detail(image: Image.Image) -> np.ndarray:
    """Grey levels of an image at 32 x 32 pixels, uint8."""
    return np.asarray(image.convert("L").resize((DETAIL, DETAIL), Image.Resampling.LANCZOS))


def same_details(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """For each pair of N x 32 x 32 details whether small images that have them are alike."""
    return np.einsum("nd,nd->n", unit_vectors(first), unit_vectors(second)) >= SAME_DETAIL


def perceptual_hashes(details: np.ndarray) -> np.ndarray:
    """What `perceptual_hash` gives of images with these N x 32 x 32 details: uint64 N."""
    frequencies = LOWEST_OF_DETAIL @ details @ LOWEST_OF_DETAIL.T
    return _signs(frequencies.reshape(len(details), -1))


def thumbnail_hashes(thumbnails: np.ndarray) -> np.ndarray:
    """A coarser perceptual hash of each of N x 16 x 16 thumbnails, 300 times as fast: uint64 N."""
    return _signs((LOWEST @ thumbnails @ LOWEST.T).reshape(len(thumbnails), -1))


def _signs(frequencies: np.ndarray) -> np.ndarray:
    """Which of N x 64 frequencies are above their median: uint64 N."""
    bits = frequencies > np.median(frequencies, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(np.uint64)[:, 0]


def is_plain(thumbnails: np.ndarray) -> np.ndarray:
    """For each of N x 16 x 16 thumbnails whether it is nearly of one grey level."""
    return thumbnails.std(axis=(1, 2)) < PLAIN


def unit_vectors(thumbnails: np.ndarray) -> np.ndarray:
    """N x D, float32, whose scalar products are the correlations of N thumbnails of D pixels.

    Brightness and contrast drop out; a plain thumbnail correlates with nothing.
    """
    vectors = thumbnails.reshape(-1, math.prod(thumbnails.shape[1:])).astype(np.float32)
    vectors -= vectors.mean(1, keepdims=True)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    vectors[is_plain(thumbnails)] = 0
    return vectors


def correlations(vectors: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Correlation of each pair of rows (i, j)."""
    return np.einsum("nd,nd->n", vectors[i], vectors[j])


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
        distance: bits that may differ.

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
