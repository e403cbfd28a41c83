"""Levels of more than 8 bits: one rule for all images of a data set, never one for each.

Cameras of 10, 12 or 14 bits write files of 16, and nothing in the file need say so. So the bits of
a data set are those that its headers declare, if its training images fit into them, else the fewest
of the usual ones into which all of its training images fit.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

USUAL_BITS = (8, 10, 12, 14)
ALL_BITS = 16  # of a level; what is taken where there is no rule


class LevelRange(NamedTuple):
    """What one image, or many, with more than 8 bits in a sample show of the bits in use.

    Attributes:
        bits: that its highest level needs.
        declared: that its header says to be in use; 0: it does not say.
        full: that its samples can hold: 16, of signed ones 15.
    """

    bits: int
    declared: int
    full: int

    @classmethod
    def of_all(cls, ranges: Iterable["LevelRange"]) -> "LevelRange":
        """The largest of each."""
        return cls(*map(max, zip(*ranges, strict=True)))

    @property
    def rule(self) -> int:
        """The bits in use: declared ones where they suffice, else the fewest that do."""
        if self.declared >= self.bits:
            return max(self.declared, USUAL_BITS[0])
        return next((usual for usual in USUAL_BITS if usual >= self.bits), self.full)


def to_8_bits(levels: np.ndarray, bits: int) -> np.ndarray:
    """The upper 8 of some bits; what is above their white is white.

    Args:
        levels: integers from 0 on, any shape.
        bits: 8..16.

    Returns:
        uint8 of the same shape.
    """
    return (np.minimum(levels, white(bits)) >> (bits - 8)).astype(np.uint8)


def white(bits: int) -> int:
    """The highest level."""
    return (1 << bits) - 1
