import numpy as np
import pytest

from datamodules.decoding.levels import LevelRange, to_8_bits, white


def _range(highest: int, declared: int = 0, full: int = 16) -> LevelRange:
    return LevelRange(highest.bit_length(), declared, full)


@pytest.mark.parametrize(
    ("ranges", "rule"),
    [
        ([_range(200)], 8),
        ([_range(0)], 8),
        ([_range(255), _range(256)], 10),
        ([_range(1024)], 12),
        ([_range(4095), _range(90)], 12),
        ([_range(4096)], 14),
        ([_range(16384)], 16),
        ([_range(16384, full=15)], 15),  # all images are of signed samples
        ([_range(16384, full=15), _range(9)], 16),
        ([_range(90, declared=12), _range(800)], 12),
        ([_range(90, declared=11)], 11),
        ([_range(90, declared=5)], 8),
        ([_range(90, declared=10), _range(90, declared=12)], 12),
        ([_range(70, declared=12), _range(60_000)], 16),  # what is declared cannot be true
        ([_range(800, declared=16)], 16),
    ],
)
def test_declared_bits_or_the_fewest_usual_ones(ranges, rule):
    assert LevelRange.of_all(ranges).rule == rule


@pytest.mark.parametrize("bits", range(8, 17))
def test_the_upper_8_bits_are_kept(bits):
    levels = np.array([0, 1, white(bits) // 2, white(bits), white(bits) + 1, 70_000])
    half = (white(bits) // 2) >> (bits - 8)
    assert to_8_bits(levels, bits).tolist() == [0, int(bits == 8), half, 255, 255, 255]
